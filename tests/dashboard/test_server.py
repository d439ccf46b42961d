"""The server: who may ask it, what its answers forbid browsers to do, what a run costs, and when it collects."""

import gc
import gzip
import os
import subprocess
import sys
import tomllib
import weakref
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from http.client import HTTPConnection
from pathlib import Path
from socket import create_connection, create_server, socket
from threading import Event, Thread
from time import monotonic, sleep

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import app_session
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from config import ConfigError
from config.settings import read_settings
from dashboard import memory, server
from queries.state import read_incident
from queries.warehouse import EVERYTHING
from tests.support.small_company import Company, found
from tests.support.states import NewState

CHECKOUT = Path(memory.__file__).parents[1]
FORBIDDING = {
    "x-frame-options": "DENY",
    "content-security-policy": "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}


@dataclass(frozen=True)
class Served:
    """A dashboard on a port of its own; `outside` hears of whatever it asks of the internet."""

    company: Company
    port: int
    outside: socket

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and body."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as conn:
            conn.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = conn.getresponse()
            return (
                answer.status,
                {name.lower(): value for name, value in answer.getheaders()},
                answer.read().decode(errors="replace"),
            )

    def socket(self, path: str = "/_stcore/stream", host: str = "", **headers: str) -> ClientConnection:
        address, protocol = f"ws://{host or self.host}{path}", Subprotocol("streamlit")
        raw = create_connection(("127.0.0.1", self.port))
        return connect(
            address, sock=raw, subprotocols=[protocol], additional_headers=headers, max_size=None, open_timeout=60
        )

    def went_outside(self) -> bool:
        """Whether anything was asked of the internet, by now or a moment later."""
        self.outside.settimeout(2)
        try:
            self.outside.accept()[0].close()
        except TimeoutError:
            return False
        return True


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    company = found(tmp_path_factory.mktemp("company"), date(2026, 11, 21), months=3)
    with closing(socket()) as free, create_server(("127.0.0.1", 0)) as outside:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        proxy = f"http://127.0.0.1:{outside.getsockname()[1]}"
        environ = {**os.environ, **company.environ, "http_proxy": proxy, "https_proxy": proxy, "no_proxy": ""}
        environ |= {"EARSHOT_DASHBOARD__PORT": str(port), "EARSHOT_DASHBOARD__NAMES": "cx.example, 10.1.2.3"}
        environ |= {"EARSHOT_DASHBOARD__PUBLIC_URL": "https://earshot.example"}
        command, quiet = [sys.executable, "-m", "dashboard"], subprocess.DEVNULL
        free.close()
        with subprocess.Popen(command, cwd=CHECKOUT, env=environ, stdout=quiet, stderr=quiet) as process:
            try:
                _await(port, process)
                yield Served(company, port, outside)
            finally:
                process.terminate()


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    until = monotonic() + 120
    while process.poll() is None and monotonic() < until:
        try:
            create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            sleep(0.2)
        else:
            return
    pytest.fail("the dashboard did not start")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/incident?id=1", 200),
        ("GET", "/healthz", 200),
        ("POST", "/healthz", 405),
        ("GET", "/_stcore/health", 200),
        ("GET", "/_stcore/host-config", 200),
        ("GET", "/favicon.png", 200),
        ("GET", "/media/none.png", 404),
        ("GET", "/component/none/x.js", 404),
        ("PUT", "/_stcore/upload_file/nobody/nothing", 403),
        ("GET", "/../config/settings.toml", 400),
    ],
)
def test_every_answer_forbids_what_nobody_needs(served: Served, method: str, path: str, status: int) -> None:
    answer = served.ask(path, method)
    assert answer[0] == status
    assert answer[1].items() >= FORBIDDING.items()


def test_a_cookie_of_a_site_with_tls_is_for_tls_alone(served: Served) -> None:
    """Streamlit's own cookies too; the name and the value stay as they were."""
    cookie = served.ask("/_stcore/health")[1]["set-cookie"]
    assert cookie.startswith("_streamlit_xsrf=")
    assert cookie.endswith("; Secure")
    assert cookie.lower().count("secure") == 1


@pytest.mark.parametrize("path", ["/", "/incident?id=1", "/lab?rule=defects", "/healthz"])
def test_a_compressed_answer_is_whole_however_often_it_is_asked_for(served: Served, path: str) -> None:
    lengths = set()
    for _ in range(3):
        with closing(HTTPConnection("127.0.0.1", served.port, timeout=30)) as conn:
            conn.request("GET", path, headers={"Accept-Encoding": "gzip"})
            answer = conn.getresponse()
            body, names = answer.read(), [name.lower() for name, _ in answer.getheaders()]
        assert answer.status in {200, 503}
        assert len(names) == len({*names}), names
        lengths.add(len(gzip.decompress(body) if answer.headers["Content-Encoding"] == "gzip" else body))
    assert len(lengths) == 1 or path == "/healthz"


BROKEN = """
import asyncio
from pathlib import Path
from starlette.routing import Route
from config.settings import DashboardSettings
from dashboard import server
from dashboard.guard import GuardedApp

async def broken(_):
    raise RuntimeError

async def receive():
    return {"type": "http.request"}

async def send(message):
    print(message.get("status"), message.get("headers"))

app = GuardedApp(server.APP, DashboardSettings(), routes=[Route("/broken", broken)])
scope = {"type": "http", "method": "GET", "path": "/broken", "headers": [(b"host", b"localhost")], "query_string": b""}
try:
    asyncio.run(app(scope, receive, send))
except RuntimeError:
    print("raised")
"""


def test_an_error_of_the_server_forbids_it_too() -> None:
    # A process of its own: Streamlit's runtime is one in each.
    done = subprocess.run([sys.executable, "-c", BROKEN], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("500 ")
    assert "raised" in done.stdout
    for name, value in FORBIDDING.items():
        assert f"({name.encode()!r}, {value.encode()!r})" in done.stdout


def test_sockets_forbid_it_too(served: Served) -> None:
    with served.socket() as opened:
        assert opened.response is not None
        assert {name.lower(): value for name, value in opened.response.headers.items()}.items() >= FORBIDDING.items()
    with pytest.raises(InvalidStatus) as refused:
        served.socket("/nowhere")
    assert refused.value.response.status_code == 403
    headers = {name.lower(): value for name, value in refused.value.response.headers.items()}
    assert headers.items() >= FORBIDDING.items()


OURS = [
    "127.0.0.1",
    "localhost",
    "LOCALHOST:8501",
    "[::1]:8501",
    "127.0.0.2",
    "earshot.example",
    "cx.example:443",
    "10.1.2.3",
]
FOREIGN = [
    *("prize.example", "127.0.0.1.prize.example", "prize.example:8501", "notearshot.example", "a.earshot.example"),
    *("", "127.0.0.1@prize.example", "127.0.0.1:x", "prize.example/127.0.0.1", "10.0.0.1", "0.0.0.0", "[::1"),
]


@pytest.mark.parametrize("host", OURS)
def test_names_that_are_served(served: Served, host: str) -> None:
    assert served.ask("/healthz", Host=host)[0] == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_name_is_told_so(served: Served, host: str) -> None:
    status, headers, said = served.ask("/healthz", Host=host)
    assert status == 421
    assert "not served under this name" in said
    assert "generation" not in said
    assert headers.items() >= FORBIDDING.items()


def test_a_foreign_name_opens_no_socket(served: Served) -> None:
    with pytest.raises(InvalidStatus) as refused:
        served.socket(host=f"prize.example:{served.port}")
    assert refused.value.response.status_code == 421


@pytest.mark.parametrize("name", ["Earshot.example", "https://earshot.example", "*.example", '["a"]', "a;b"])
def test_a_name_is_a_name(name: str) -> None:
    with pytest.raises(ConfigError, match="is not a host name"):
        read_settings({"EARSHOT_DASHBOARD__NAMES": name}, None)


@pytest.mark.parametrize("path", ["/_stcore/health", "/_stcore/host-config", "/", "/media/none.png"])
@pytest.mark.parametrize("origin", ["https://prize.example", "http://127.0.0.1:1", "null", "https://a.earshot.example"])
def test_a_page_of_another_site_is_refused(served: Served, path: str, origin: str) -> None:
    assert served.ask(path, Origin=origin)[0] == 403


def test_our_own_pages_are_answered(served: Served) -> None:
    for host, origin in ((served.host, f"http://{served.host}"), (served.host, "https://earshot.example")):
        assert served.ask("/_stcore/health", Host=host, Origin=origin)[0] == 200
        with served.socket(Origin=origin) as opened:
            assert opened.response is not None


def test_nothing_leaves_the_machine(served: Served) -> None:
    for origin in ("https://prize.example", "http://8.8.8.8"):
        assert served.ask("/_stcore/host-config", Origin=origin)[0] == 403
        with pytest.raises(InvalidStatus):
            served.socket(Origin=origin)
    assert not served.went_outside()


# What changes something


def run(page: ClientConnection, id_: str = "", pressed: str = "") -> list[ForwardMsg]:
    """One run of an incident's page, with a button pressed, or of the review, and all that it sends."""
    message = BackMsg()
    message.rerun_script.query_string = f"id={id_}" if id_ else ""
    message.rerun_script.page_name = "incident" if id_ else ""
    if pressed:
        message.rerun_script.widget_states.widgets.add(id=pressed, trigger_value=True)
    page.send(message.SerializeToString())
    sent = list[ForwardMsg]()
    while not sent or sent[-1].WhichOneof("type") != "script_finished":
        sent.append(ForwardMsg.FromString(page.recv(timeout=60)))
    return sent


def button(sent: list[ForwardMsg]) -> str:
    buttons = (message.delta.new_element.button for message in sent if message.HasField("delta"))
    return next(shown.id for shown in buttons if shown.label == "Acknowledge")


def test_what_one_session_was_shown_no_other_can_press(served: Served, new_state: NewState) -> None:
    id_, states = served.company.incident, new_state(served.company.data)

    def taken_by() -> str | None:
        with states.connect() as conn:
            return read_incident(conn, id_, EVERYTHING).acknowledged_by

    with served.socket() as mine, served.socket() as theirs:
        shown, others = button(run(mine, id_)), button(run(theirs, id_))
        assert shown != others
        run(theirs, id_, shown)
        with served.socket() as unseen:
            run(unseen, id_, shown)
        assert taken_by() is None
        run(mine, id_, shown)
        assert taken_by() == "open mode"


# What a run costs


def test_a_run_of_the_review_sends_few_messages(served: Served) -> None:
    """Each of them wakes the server's loop, is hashed and is sent, for every viewer at every click."""
    with served.socket() as page, served.socket() as another:
        runs = [run(page), run(page), run(another)]
    drawn = [[one.delta.SerializeToString() for one in sent if one.HasField("delta")] for sent in runs]
    assert drawn[0] == drawn[2]
    assert len(drawn[0]) == len(drawn[1])
    issues = sum(b'<article class="e-issue"' in one for one in drawn[0])
    assert issues == 2
    for sent in runs:
        assert len(sent) <= 21 + 3 * issues, [one.WhichOneof("type") for one in sent]


def test_every_run_is_told_the_whole_theme(served: Served) -> None:
    theme = tomllib.loads((CHECKOUT / "dashboard" / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"]
    with served.socket() as page, served.socket() as another:
        sent = [*run(page), *run(page), *run(another)]
    told = [one.new_session.custom_theme for one in sent if one.HasField("new_session")]
    assert len(told) == 3
    for one in told:
        assert (one.heading_font, [*one.heading_font_weights]) == (theme["headingFont"], theme["headingFontWeights"])
        for paper, ours in ((one.light, theme["light"]), (one.dark, theme["dark"])):
            assert (paper.primary_color, paper.text_color) == (ours["primaryColor"], ours["textColor"])
            assert [*paper.chart_categorical_colors] == ours["chartCategoricalColors"]


def test_the_theme_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Streamlit calls it otherwise, it is read for each run again: this says so."""
    read = list[str]()

    def populate(msg: CustomThemeConfig, section: str = "theme") -> None:
        read.append(section)
        msg.primary_color = section

    monkeypatch.setattr(app_session, "_populate_theme_msg", populate)
    server.keep_theme()
    for _ in range(3):
        made = CustomThemeConfig()
        app_session._populate_theme_msg(made)
        app_session._populate_theme_msg(made.dark, "theme.dark")
        assert (made.primary_color, made.dark.primary_color) == ("theme", "theme.dark")
    assert read == ["theme", "theme.dark"]
    assert "_populate_theme_msg" in app_session.AppSession._create_new_session_message.__code__.co_names


# When garbage is collected


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def _thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_thawed")
def test_what_stays_is_set_aside_and_collected_once_it_is_dead() -> None:
    memory.settle()
    aside = gc.get_freeze_count()
    cycle = Cycle()
    dead, stays = weakref.ref(cycle), [[number] for number in range(memory.UNSETTLED + 1000)]
    memory.collect()
    assert gc.get_freeze_count() > aside + memory.UNSETTLED
    del cycle, stays
    memory.collect()
    assert dead() is not None, "it was set aside"
    more = [[number] for number in range(memory.UNSETTLED + 1000)]
    memory.collect()
    assert dead() is None
    assert gc.get_freeze_count() < aside + memory.UNSETTLED * 1.5
    del more


@pytest.mark.usefixtures("_thawed")
def test_what_comes_and_goes_is_collected_without_being_set_aside() -> None:
    memory.settle()
    aside = gc.get_freeze_count()
    cycle = Cycle()
    dead = weakref.ref(cycle)
    del cycle
    memory.collect()
    assert dead() is None
    assert gc.get_freeze_count() == aside


@pytest.mark.usefixtures("_thawed")
def test_no_thread_is_disturbed_while_it_builds_a_tuple() -> None:
    """Such as the rows of a page: the collector's list of what lives held them meanwhile."""
    before, raised, is_over = sys.getswitchinterval(), list[SystemError](), Event()

    def build() -> None:
        while not is_over.is_set():
            try:
                assert len(tuple((number,) for number in range(30_000))) == 30_000
            except SystemError as error:
                raised.append(error)

    memory.settle()
    stays = [[number] for number in range(memory.UNSETTLED - 5000)]
    builder = Thread(target=build)
    sys.setswitchinterval(1e-4)
    try:
        builder.start()
        for _ in range(300):
            memory.collect()
    finally:
        sys.setswitchinterval(before)
        is_over.set()
        builder.join()
    assert raised == []
    del stays
