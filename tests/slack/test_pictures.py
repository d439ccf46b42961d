"""A message gets its picture after it was posted, once, or never; nothing that Slack refuses touches the message."""

import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from config.models import Route
from queries.messages import discard_pictures
from queries.state import open_state, read_incidents
from queries.warehouse import EVERYTHING, EmbeddedWarehouse
from tests.counterparts import proxy as faults
from tests.counterparts.proxy import FaultProxy
from tests.counterparts.slack import CHANNELS, TOKEN, Slack
from tests.slack.test_delivery import FIRST, OPENS, RECOVERS, STORY, WORSENS, Watch
from tests.support.company import ROUTE, catalog, rows_of, rule, warehouse, weeks
from triggers.incidents import acknowledge
from triggers.messages import CardReader, Picture, PictureDelivery
from triggers.messages.picture_delivery import LEASE, REMEMBERED, PicturePoint
from triggers.slack import client

CHANNEL: Final = CHANNELS["service-quality"]
PNG: Final = b"\x89PNG\r\n\x1a\n"


class Killed(BaseException):
    """The process is gone: nothing of it catches this."""


@dataclass(frozen=True)
class Drawn(CardReader):
    """Cards as ever, and a picture that takes no time: how one is drawn is tried below."""

    def picture(self, conn: Any, id_: str, reader: Route) -> Picture | None:
        return Picture(f"earshot-{id_}.png", "Defects by week.", PNG) if self.card(conn, id_, reader).metric else None


@dataclass
class Gallery:
    """A watched company whose messages are given pictures."""

    watch: Watch
    slack: Slack
    proxy: FaultProxy
    cards: type[CardReader] = Drawn
    waits: list[timedelta] = field(default_factory=list)

    def add(self, crash_point: Callable[[PicturePoint], None] = lambda _: None) -> int:
        with self.watch.warehouse.pin() as pin:
            cards = self.cards(pin, self.watch.catalog, "https://earshot.example", self.watch.now, "EUR")
            slack = client.Slack(TOKEN, self.proxy.base_url, 1)
            place = (self.watch.states, slack, cards, self.watch.catalog, lambda: self.watch.now, self._wait)
            return PictureDelivery(*place, crash_point).deliver()

    def _wait(self, pause: timedelta) -> None:
        self.waits.append(pause)
        self.watch.now += pause

    def until_done(self, rounds: int = 4) -> int:
        """Hours apart. Returns how many were shown."""
        shown = 0
        for _ in range(rounds):
            self.proxy.settle()
            shown += self.add()
            self.watch.now += timedelta(hours=3)
        return shown

    def roots(self) -> list[dict[str, Any]]:
        return self.slack.history(CHANNEL)

    def shown(self) -> list[list[str]]:
        """The files that each root message shows."""
        return [[b["slack_file"]["id"] for b in root.get("blocks", ()) if "slack_file" in b] for root in self.roots()]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedWarehouse]:
    """The story's company. Nothing here writes to it."""
    with warehouse(tmp_path_factory.mktemp("company"), catalog(rule()), rows_of(weeks(FIRST, STORY))) as made:
        yield made


@pytest.fixture
def gallery(tmp_path: Path, slack: Slack, slack_proxy: FaultProxy, company: EmbeddedWarehouse) -> Iterator[Gallery]:
    """One incident, told, without its picture yet."""
    watch = Watch(company, open_state(tmp_path), catalog(rule()), slack_proxy.base_url)
    watch.tick(OPENS - timedelta(weeks=1))
    watch.tick(OPENS)
    watch.deliver()
    yield Gallery(watch, slack, slack_proxy)
    watch.states.dispose()


def test_a_message_is_posted_without_its_picture_and_keeps_it_to_the_end(gallery: Gallery) -> None:
    assert gallery.shown() == [[]]
    gallery.cards = CardReader
    assert gallery.add() == 1
    (file,) = gallery.slack.files()
    assert gallery.shown() == [[file]]
    assert len(gallery.waits) == 1  # its type was not known at once
    (block,) = (block for block in gallery.roots()[0]["blocks"] if "slack_file" in block)
    said = "between 8% and 40%, last 40%. From 10 November to 7 December 2025: 40%. Limit 25%."
    assert block["alt_text"] == f"Journeys with a defect, Retail by week: {said}"
    with gallery.watch.states.begin() as conn:
        (found,) = read_incidents(conn, EVERYTHING)
        acknowledge(conn, found.id, "ana", EVERYTHING, gallery.watch.now)
    gallery.watch.deliver()
    assert "Acknowledged by" in json.dumps(gallery.roots())
    for day in (WORSENS, RECOVERS):
        assert gallery.shown() == [[file]]
        gallery.watch.tick(day)
        gallery.watch.until_quiet()
        gallery.add()
    (root,) = (root for root in gallery.roots() if "Data fault" not in root["text"])
    assert root["text"].startswith("\N{LARGE GREEN CIRCLE} Recovered")
    assert [file] in gallery.shown()
    assert gallery.slack.files() == [file]


METHODS: Final = (
    "files.getUploadURLExternal",
    "upload",
    "files.completeUploadExternal",
    "files.info",
    "chat.update",
)
PASSING: Final = {
    "the answer is dropped": faults.dropped(),
    "reset before": faults.reset(stored=False),
    "half an answer": faults.truncated(),
    "a page in place of an answer": faults.html(stored=True),
    "a page, and nothing stored": faults.html(stored=False),
    "500 after it was stored": faults.server_error(500, stored=True),
    "503, and nothing stored": faults.server_error(503, stored=False),
    "internal_error": faults.slack_error("internal_error", stored=True),
    "too many requests": faults.rate_limited(2),
    "no answer within the time-out": faults.hang(1.6, stored=True),
    "stored late": faults.late(0.2),
}
LASTING: Final = {
    "a scope is missing": faults.slack_error("missing_scope"),
    "no room": faults.slack_error("storage_limit_reached"),
    "the file was deleted": faults.slack_error("file_deleted"),
    "what nobody has heard of": faults.slack_error("something_new"),
}
CASES: Final = [(method, name) for method in METHODS for name in PASSING]


def some(cases: list[tuple[str, str]]) -> list[Any]:
    """A tenth of them, and with `--prove` all."""
    return [pytest.param(*case, marks=() if i % 10 == 3 else (pytest.mark.proof,)) for i, case in enumerate(cases)]


@pytest.mark.parametrize(("method", "name"), some(CASES))
def test_a_fault_leaves_the_message_alone_and_the_picture_comes_later(gallery: Gallery, method: str, name: str) -> None:
    before = gallery.roots()
    gallery.proxy.plan(method, PASSING[name])
    assert gallery.add() == 0
    if method != "chat.update":
        assert gallery.roots() == before
    assert gallery.until_done(2) == 1
    assert gallery.shown() == [gallery.slack.files()]
    assert gallery.proxy.count("chat.postMessage") == 1


@pytest.mark.parametrize("name", LASTING)
@pytest.mark.parametrize("method", METHODS)
def test_what_is_refused_leaves_the_message_alone_and_no_file(gallery: Gallery, method: str, name: str) -> None:
    before = gallery.roots()
    gallery.proxy.choose = lambda call: (
        LASTING[name]
        if call.method == method
        and "slack_file" in str(call.body) * (method == "chat.update") + "slack_file" * (method != "chat.update")
        else None
    )
    assert gallery.until_done() == 0
    assert gallery.roots() == before
    assert gallery.slack.files() == []
    gallery.watch.tick(WORSENS)
    gallery.watch.until_quiet()
    assert len(gallery.roots()) == 1
    assert len(gallery.slack.replies(CHANNEL, before[0]["ts"])) == 1


def test_a_file_that_no_block_may_show_is_deleted(gallery: Gallery) -> None:
    before = gallery.roots()
    gallery.proxy.takes_pictures = False
    assert gallery.until_done(4) == 0
    assert (gallery.roots(), gallery.slack.files()) == (before, [])


def test_a_missing_scope_is_remembered_for_an_hour_and_logged_once(
    tmp_path: Path, slack: Slack, slack_proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("Retail", "Trade", "Crafts")
    rows = rows_of([week for name in names for week in weeks(FIRST, STORY, vertical=name)])
    slack_proxy.choose = lambda call: faults.slack_error("missing_scope") if call.method.startswith("files.") else None
    config = catalog(rule(false_alarms_per_year=6))
    with warehouse(tmp_path, config, rows) as made:
        watch = Watch(made, open_state(tmp_path), config, slack_proxy.base_url)
        gallery = Gallery(watch, slack, slack_proxy)
        for day in (OPENS - timedelta(weeks=1), OPENS):
            watch.tick(day)
            watch.deliver()
        with caplog.at_level(logging.WARNING, "triggers"):
            for _ in range(5):
                gallery.add()
                watch.now += timedelta(minutes=10)
        assert slack_proxy.count("files.getUploadURLExternal") == 1
        said = [record.message for record in caplog.records]
        assert said.count("pictures are refused: messages are sent without") == 1
        slack_proxy.choose = lambda _: None
        watch.now += REMEMBERED
        assert gallery.add() == 3
        assert sorted(file for (file,) in gallery.shown()) == sorted(slack.files())
        watch.states.dispose()


def test_a_picture_that_somebody_deleted_holds_up_no_update(gallery: Gallery) -> None:
    gallery.add()
    (file,) = gallery.slack.files()
    gallery.slack.client().files_delete(file=file)
    gallery.proxy.typed.clear()
    gallery.watch.tick(WORSENS)
    gallery.watch.until_quiet()
    assert gallery.shown() == [[]]
    assert "56%" in gallery.roots()[0]["text"]
    assert gallery.roots()[0]["blocks"]  # as rich as before
    assert gallery.until_done(4) == 0


def test_a_message_that_was_posted_again_gets_its_picture_again(gallery: Gallery) -> None:
    gallery.add()
    (file,) = gallery.slack.files()
    gallery.slack.client().chat_delete(channel=CHANNEL, ts=gallery.roots()[0]["ts"])
    gallery.watch.tick(WORSENS)
    gallery.watch.until_quiet()
    assert gallery.until_done(2) == 1
    assert gallery.shown() == [[file]]
    assert gallery.slack.files() == [file]


# A process that dies, or is away for long.


def forked(gallery: Gallery, point: PicturePoint) -> None:
    """A process that adds pictures, killed with kill -9 at a point."""
    gallery.watch.states.dispose()
    pid = os.fork()
    if not pid:
        try:
            gallery.add(lambda passed: os.kill(os.getpid(), signal.SIGKILL) if passed == point else None)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


POINTS: Final = [point for point in PicturePoint if point != PicturePoint.REMOVED]


def dies_at(point: PicturePoint) -> Callable[[PicturePoint], None]:
    def crash_point(passed: PicturePoint) -> None:
        if passed == point:
            raise Killed

    return crash_point


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_killed_at_each_point_it_is_one_picture_and_one_file(gallery: Gallery, point: PicturePoint) -> None:
    with pytest.raises(Killed):
        gallery.add(dies_at(point))
    assert gallery.add() == 0  # whoever died may still be at it
    gallery.watch.now += timedelta(seconds=LEASE)
    assert gallery.add() == 1
    assert gallery.shown() == [gallery.slack.files()]
    assert len(gallery.slack.files()) == 1
    assert gallery.proxy.count("chat.postMessage") == 1


@pytest.fixture
def shared_gallery(
    tmp_path: Path, slack: Slack, slack_proxy: FaultProxy, company: EmbeddedWarehouse, postgres_url: str
) -> Iterator[Gallery]:
    """The same with its state on PostgreSQL."""
    watch = Watch(company, open_state(tmp_path, postgres_url), catalog(rule()), slack_proxy.base_url)
    watch.tick(OPENS - timedelta(weeks=1))
    watch.tick(OPENS)
    watch.deliver()
    yield Gallery(watch, slack, slack_proxy)
    watch.states.dispose()


SOME: Final = {PicturePoint.RESERVED, PicturePoint.UPLOADED, PicturePoint.SHOWING}


@pytest.mark.parametrize(
    "point",
    [pytest.param(point, marks=() if point in SOME else pytest.mark.proof, id=point.name) for point in POINTS],
)
def test_killed_with_its_state_on_a_server_it_is_one_picture_and_one_file(
    shared_gallery: Gallery, point: PicturePoint
) -> None:
    with pytest.raises(Killed):
        shared_gallery.add(dies_at(point))
    assert shared_gallery.add() == 0
    shared_gallery.watch.now += timedelta(seconds=LEASE)
    assert shared_gallery.add() == 1
    assert shared_gallery.shown() == [shared_gallery.slack.files()]
    assert len(shared_gallery.slack.files()) == 1
    assert shared_gallery.proxy.count("chat.postMessage") == 1


@pytest.mark.slack
@pytest.mark.parametrize("place", ["gallery", pytest.param("shared_gallery", marks=pytest.mark.postgres)])
def test_an_upload_that_hangs_holds_nothing_else_up(request: pytest.FixtureRequest, place: str) -> None:
    """Meanwhile rules are evaluated, and news is delivered; when it goes on, the picture is there once."""
    gallery: Gallery = request.getfixturevalue(place)
    hangs, goes_on = threading.Event(), threading.Event()

    def hang(passed: PicturePoint) -> None:
        if passed == PicturePoint.NAMED:
            hangs.set()
            goes_on.wait(60)

    thread = threading.Thread(target=gallery.add, args=(hang,), daemon=True)
    thread.start()
    assert hangs.wait(60)
    before = gallery.proxy.count("chat.postMessage")
    gallery.watch.tick(WORSENS)
    gallery.watch.deliver()
    assert gallery.proxy.count("chat.postMessage") > before
    assert thread.is_alive()
    goes_on.set()
    thread.join(60)
    gallery.until_done()
    assert gallery.shown() == [gallery.slack.files()]
    assert len(gallery.slack.files()) == 1


@pytest.mark.parametrize("second", POINTS, ids=lambda point: point.name)
@pytest.mark.parametrize("first", POINTS, ids=lambda point: point.name)
@pytest.mark.proof
def test_killed_twice(gallery: Gallery, first: PicturePoint, second: PicturePoint) -> None:
    for point in (first, second):
        with suppress(Killed):
            gallery.add(dies_at(point))
        gallery.watch.now += timedelta(seconds=LEASE)
    gallery.add()
    assert gallery.shown() == [gallery.slack.files()]
    assert len(gallery.slack.files()) == 1


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_killed_and_then_refused_no_file_is_left(gallery: Gallery, point: PicturePoint) -> None:
    with pytest.raises(Killed):
        gallery.add(dies_at(point))
    gallery.proxy.takes_pictures = False
    gallery.watch.now += timedelta(seconds=LEASE)
    with suppress(Killed):
        gallery.add(dies_at(PicturePoint.REMOVED))
    gallery.watch.now += timedelta(seconds=LEASE)
    assert gallery.add() == 0
    assert gallery.slack.files() == []


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
@pytest.mark.parametrize("is_refused", [False, True])
def test_frozen_past_its_lease_while_another_goes_on(
    gallery: Gallery, point: PicturePoint, *, is_refused: bool
) -> None:
    """Whoever wakes up finds that it was replaced, and leaves no file of its own."""
    others = list[int]()

    def crash_point(passed: PicturePoint) -> None:
        if passed == point and not others:
            gallery.watch.now += timedelta(seconds=LEASE)
            gallery.proxy.takes_pictures = not is_refused
            others.append(gallery.add())

    gallery.add(crash_point)
    gallery.until_done(3)
    assert others == [int(not is_refused)]
    assert len(gallery.slack.files()) == int(not is_refused)
    assert gallery.shown() == [gallery.slack.files()] or is_refused


@pytest.mark.parametrize("point", [PicturePoint.SHOWING, PicturePoint.CHANGED])
def test_an_update_at_the_same_time_loses_neither_its_words_nor_the_picture(
    gallery: Gallery, point: PicturePoint
) -> None:
    def crash_point(passed: PicturePoint) -> None:
        if passed == point:
            gallery.watch.tick(WORSENS)
            gallery.watch.deliver()

    gallery.add(crash_point)
    gallery.watch.until_quiet()
    assert "56%" in gallery.roots()[0]["text"]
    assert gallery.shown() == [gallery.slack.files()]
    assert len(gallery.slack.files()) == 1


def test_a_real_kill(tmp_path: Path, gallery: Gallery) -> None:
    forked(gallery, PicturePoint.COMPLETED)
    assert len(gallery.slack.files()) == 1
    gallery.watch.states = open_state(tmp_path)
    gallery.watch.now += timedelta(seconds=LEASE)
    assert gallery.add() == 1
    assert gallery.shown() == [gallery.slack.files()]


def test_an_erasure_takes_the_picture_down(gallery: Gallery) -> None:
    gallery.add()
    assert len(gallery.slack.files()) == 1
    with gallery.watch.states.begin() as conn:
        (found,) = read_incidents(conn, EVERYTHING)
        discard_pictures(conn, [found.id], gallery.watch.now)
    gallery.watch.tick(WORSENS)
    gallery.watch.until_quiet()
    gallery.add()
    assert gallery.slack.files() == []
    assert gallery.shown() == [[]]


# What is drawn, and for whom.


def test_the_same_figures_are_the_same_bytes(gallery: Gallery) -> None:
    with gallery.watch.warehouse.pin() as pin, gallery.watch.states.connect() as conn:
        (found,) = read_incidents(conn, EVERYTHING)
        reader = CardReader(pin, gallery.watch.catalog, "https://earshot.example", gallery.watch.now, "EUR")
        first, second = (reader.picture(conn, found.id, ROUTE) for _ in range(2))
        assert first is not None
        assert first == second
        assert first.png.startswith(PNG)
        other = ROUTE.model_copy(update={"verticals": ("Trade",)})
        assert reader.picture(conn, found.id, other) is None  # whoever may not see the incident sees no picture of it
