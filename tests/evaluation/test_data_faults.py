"""Each artefact is told from rows that were spoilt in its way, and rows that were not stay quiet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.random import Generator
from sqlalchemy import Table

from config import EarshotError
from queries.metrics import day_words
from queries.monitoring.row_profiles import AGES, PROFILED, Breakdown, Profile, read_profile
from queries.statistics.estimates import Floats
from queries.warehouse import EmbeddedWarehouse, SharedWarehouse, tables
from tests.support.company import catalog, publish, warehouse
from triggers.data_faults.detect import detect
from triggers.data_faults.detectors.history import DataFault
from triggers.data_faults.explanation import Breach, explanations

FIRST: Final = date(2024, 1, 1)
WEEKS: Final = 90
DAYS: Final = 7 * WEEKS
END: Final = FIRST + timedelta(days=DAYS)
SINCE: Final = END - timedelta(days=28)
SEEDS: Final = range(20)
VERTICALS: Final = ("Energy", "Public", "Retail")
CHANNELS: Final = ("chat", "mail", "phone")
ROLES: Final = ("decision-maker", "influencer", "user")
WEEKDAYS: Final = np.array([1.3, 1.2, 1.1, 1.2, 1.3, 0.3, 0.1])
MONTH: Final = date(2025, 8, 1)  # whose first days have day and month swapped


@dataclass
class Made:
    """Daily counts of a table, free to be spoilt: cells are vertical times channel, the third vertical is small."""

    rng: Generator
    counts: Floats = field(init=False)
    surplus: Floats = field(init=False)
    people: Floats = field(init=False)
    ages: Floats = field(init=False)
    promised: Floats = field(init=False)
    took: Floats = field(init=False)

    def __post_init__(self) -> None:
        level = np.outer([9.0, 6.0, 1.5], [1.0, 0.7, 1.2]).ravel()
        growth = np.linspace(0.8, 1.3, DAYS)[:, None]  # a company that grows
        self.counts = self.rng.poisson(level * growth * np.resize(WEEKDAYS, DAYS)[:, None]).astype(np.float64)
        self.surplus = self.rng.poisson(0.02, (DAYS, len(VERTICALS))).astype(np.float64)
        self.people = np.zeros((DAYS, len(VERTICALS) * len(ROLES)))
        for vertical in range(len(VERTICALS)):
            self.invite(vertical, slice(0, DAYS), (0.2, 0.3, 0.5))
        self.follow(np.full(DAYS, 12.0), np.full(DAYS, 8.0))

    def invite(self, vertical: int, days: slice, mix: tuple[float, ...]) -> None:
        rows = self.counts[days, 3 * vertical : 3 * vertical + 3].sum(axis=1).astype(int)
        self.people[days, 3 * vertical : 3 * vertical + 3] = self.rng.multinomial(rows, mix)

    def follow(self, promise: Floats, transit: Floats) -> None:
        """Every row of the first vertical is a journey with so many days promised and taken, by day of its start."""
        self.ages = np.zeros((DAYS, 1, AGES + 1))
        self.promised, self.took = np.zeros((DAYS, 1, 3)), np.zeros((DAYS, 1, 4))
        many = self.counts[:, :3].sum(axis=1)
        self.promised[:, 0] = np.stack([many, many * promise, many * promise**2], axis=1)
        day = np.repeat(np.arange(DAYS), many.astype(int))
        days = transit[day] * np.exp(0.5 * self.rng.standard_normal(len(day)))
        np.add.at(self.ages, (day, np.zeros_like(day), np.minimum(days.astype(int), AGES - 1)), 1)
        end = day + days.astype(int)
        took = np.stack([np.ones(len(day)), days, days**2, days > promise[day]], axis=1)
        np.add.at(self.took[:, 0], end[end < DAYS], took[end < DAYS])

    def profile(self, table: str = "contact") -> Profile:
        cells = tuple((vertical, channel) for vertical in VERTICALS for channel in CHANNELS)
        asked = tuple((v, "transaction", role, "standard", "1") for v in VERTICALS for role in ROLES)
        names = ("vertical", "kind", "person.role", "account.tier", "instrument_version")
        made = Profile(
            table,
            FIRST,
            DAYS,
            slices=(Breakdown(("vertical", "channel"), cells, self.counts),),
            sources=Breakdown(("source",), (("crm",),), self.counts.sum(axis=1, keepdims=True)),
            people={"invited": Breakdown(names, asked, self.people)} if table == "response" else {},
            surplus=Breakdown(("vertical",), tuple((v,) for v in VERTICALS), self.surplus),
        )
        if table != "journey":
            return made
        one, typed = (("Energy",),), (("Energy", "repair"),)
        return replace(
            made,
            ages=Breakdown(("vertical",), one, self.ages),
            promises=Breakdown(("vertical", "journey_type"), typed, self.promised),
            transits=Breakdown(("vertical", "journey_type"), typed, self.took),
        )


def lag(made: Made) -> None:
    age = np.arange(DAYS, 0, -1) / 42
    made.counts = made.rng.binomial(made.counts.astype(int), np.minimum(age, 1.0)[:, None] ** 1.5).astype(np.float64)


def censoring(made: Made) -> None:
    """Nine in ten of the ends of the last five weeks are not in."""
    for day in range(DAYS - AGES, DAYS):
        for age in range(max(0, DAYS - 35 - day), AGES):
            hidden = made.rng.binomial(int(made.ages[day, 0, age]), 0.9)
            made.ages[day, 0, age] -= hidden
            made.ages[day, 0, AGES] += hidden


def stop(made: Made) -> None:
    made.counts[DAYS - 60 :, 2] = 0


def start(made: Made) -> None:
    made.counts[: DAYS - 60, 4] = 0


def outage(made: Made) -> None:
    made.counts[DAYS - 100 : DAYS - 65] = 0


def mix(made: Made) -> None:
    made.invite(1, slice(DAYS - 70, DAYS), (0.02, 0.18, 0.8))


def copy(made: Made) -> None:
    made.counts[DAYS - 40 : DAYS - 12] = made.counts[DAYS - 96 : DAYS - 68]


def copy_one(made: Made) -> None:
    made.counts[DAYS - 40 : DAYS - 12, :3] = made.counts[DAYS - 131 : DAYS - 103, :3]


def double(made: Made) -> None:
    made.surplus[DAYS - 20 : DAYS - 13] = made.counts[DAYS - 20 : DAYS - 13].reshape(7, 3, 3).sum(axis=2)
    made.counts[DAYS - 20 : DAYS - 13] *= 2


def swap(made: Made) -> None:
    """Rows of 1 to 12 August stand on the 8th of January to December; those to come are not there yet."""
    moved = made.counts.copy()
    for number in range(1, 13):
        day, other = (MONTH.replace(day=number) - FIRST).days, (date(MONTH.year, number, MONTH.month) - FIRST).days
        if number != MONTH.month:
            moved[day] -= made.counts[day]
            if other < DAYS:
                moved[other] += made.counts[day]
    made.counts = moved


def pad(made: Made) -> None:
    late = np.arange(DAYS) >= DAYS - 90
    made.follow(np.where(late, 20.0, 12.0), np.where(late, 10.0, 8.0))


Spoil = Callable[[Made], None]
PLANTED: Final[Mapping[str, tuple[str, Spoil, str, str]]] = {
    # what is spoilt: kind, how, table, place
    "lag": ("publication-lag", lag, "contact", ""),
    "censoring": ("right-censoring", censoring, "journey", ""),
    "a channel of one vertical stops": ("collection-change", stop, "contact", "vertical=Energy, channel=phone"),
    "a channel of one vertical starts": ("collection-change", start, "contact", "vertical=Public, channel=mail"),
    "all rows stop and start again": ("collection-change", outage, "contact", ""),
    "mix": ("sampling-change", mix, "response", "vertical=Public"),
    "copy": ("copied-period", copy, "contact", ""),
    "copy of one vertical": ("copied-period", copy_one, "contact", "vertical=Energy"),
    "double": ("duplicated-rows", double, "defect", ""),
    "swap": ("swapped-dates", swap, "contact", ""),
    "pad": ("padded-promise", pad, "journey", "vertical=Energy, journey_type=repair"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_named(name: str) -> None:
    kind, spoil, table, place = PLANTED[name]
    for seed in SEEDS:
        made = Made(np.random.default_rng(seed))
        spoil(made)
        found = detect(made.profile(table), SINCE, END)
        assert (kind, place) in {(a.kind, a.place) for a in found}, (seed, found)
        assert {a.kind for a in found} == {kind}, (seed, found)


@pytest.mark.parametrize("table", PROFILED)
def test_clean_rows_are_quiet_in_every_week(table: str, *, prove: bool) -> None:
    for seed in SEEDS if prove else SEEDS[:4]:
        profile = Made(np.random.default_rng(seed)).profile(table)
        for back in range(0, 7 * (WEEKS - 6), 21):
            until = END - timedelta(days=back)
            assert detect(profile, until - timedelta(days=28), until) == ()


def lower_traffic(made: Made) -> None:
    made.counts[DAYS - 24 :] = np.floor(made.counts[DAYS - 24 :] * 0.45)


def holidays(made: Made) -> None:
    """Two quiet weeks at the end, and as quiet ones a year before."""
    for last in (DAYS, DAYS - 364):
        made.counts[last - 7 : last] = np.floor(made.counts[last - 7 : last] * 0.3)


def new_vertical(made: Made) -> None:
    made.counts[: DAYS - 100, 6:] = 0


def tiny_beginning(made: Made) -> None:
    made.counts[:200] = np.floor(made.counts[:200] * 0.02)


def slower(made: Made) -> None:
    made.follow(np.full(DAYS, 12.0), np.where(np.arange(DAYS) >= DAYS - 60, 11.5, 8.0))


def regular(made: Made) -> None:
    """The same counts each week, as a plan makes them: to be equal says nothing."""
    made.counts = np.tile(np.resize(WEEKDAYS * 10, (7, 1)).round(), (WEEKS, 9))


@pytest.mark.parametrize(
    ("change", "table"),
    [
        (lower_traffic, "contact"),  # fewer customers is no lag
        (holidays, "contact"),
        (new_vertical, "contact"),
        (tiny_beginning, "contact"),
        (slower, "journey"),  # a real change, worse for the customer
        (regular, "contact"),
        (regular, "defect"),
    ],
)
def test_real_changes_are_no_artefacts(change: Spoil, table: str) -> None:
    for seed in SEEDS:
        made = Made(np.random.default_rng(seed))
        change(made)
        assert detect(made.profile(table), SINCE, END) == (), seed


@pytest.mark.parametrize("name", PLANTED)
def test_days_from_the_end_on_are_not_read(name: str) -> None:
    _, spoil, table, _ = PLANTED[name]
    made = Made(np.random.default_rng(3))
    spoil(made)
    profile = made.profile(table)
    for back in (0, 9, 33):
        until = END - timedelta(days=back)
        assert detect(profile, until - timedelta(days=28), until) == detect(
            cut(profile, DAYS - back), until - timedelta(days=28), until
        )


def cut(profile: Profile, days: int) -> Profile:
    """The profile as it was read at the beginning of that day."""

    def part(of: Breakdown) -> Breakdown:
        return replace(of, counts=of.counts[:days])

    ages = profile.ages
    if ages is not None:
        known = ages.counts[:days].copy()
        for day in range(max(0, days - AGES), days):
            later = known[day, :, days - day : AGES].sum(axis=1)
            known[day, :, days - day : AGES] = 0
            known[day, :, AGES] += later
        ages = replace(ages, counts=known)
    return replace(
        profile,
        days=days,
        slices=tuple(part(one) for one in profile.slices),
        sources=part(profile.sources),
        people={name: part(one) for name, one in profile.people.items()},
        surplus=part(profile.surplus),
        ages=ages,
        promises=part(profile.promises) if profile.promises else None,
        transits=part(profile.transits) if profile.transits else None,
    )


def test_a_window_before_the_change_does_not_know_of_it() -> None:
    made = Made(np.random.default_rng(1))
    stop(made)
    before = END - timedelta(days=60)
    assert detect(made.profile(), before - timedelta(days=28), before) == ()


def test_an_old_change_does_not_concern_a_new_window() -> None:
    made = Made(np.random.default_rng(1))
    made.counts[200:, 2] = 0
    assert detect(made.profile(), SINCE, END) == ()


def test_reason_is_a_sentence_with_figures() -> None:
    made = Made(np.random.default_rng(1))
    stop(made)
    (found,) = detect(made.profile(), SINCE, END)
    day = END - timedelta(days=60)
    assert abs((found.since - day).days) <= 1
    said = f"contact rows of Energy, phone stop on {day_words(found.since)}: 0 in 56 days instead of "
    assert found.reason.startswith(said)


def test_no_rows_no_artefacts() -> None:
    empty = Breakdown(("vertical", "channel"), (), np.zeros((0, 0)))
    nothing = replace(empty, columns=("source",))
    profile = Profile("contact", END, 0, (empty,), nothing, {}, replace(empty, columns=("vertical",)))
    assert detect(profile, SINCE, END) == ()


WINDOW: Final = (date(2026, 1, 1), date(2026, 1, 29))


def artefact(**changes: Any) -> DataFault:
    spoilt = {"since": date(2026, 1, 10), "until": date(2026, 2, 1), "names": (), "reason": "so"}
    return DataFault(**{"kind": "collection-change", "table": "response", **spoilt, **changes})


def breach(relation: str, *columns: str, **place: str) -> Breach:
    named = {column: tuple(values.split(",")) for column, values in place.items()}
    return Breach(relation, frozenset(columns), named, *WINDOW)


RETAIL: Final = {"names": (("vertical", "Retail"),)}
ENERGY: Final = {"names": (("vertical", "Energy"),)}
VISIT: Final = {"names": (("touchpoint", "visit"),)}
REPAIR: Final = {"table": "journey", "names": (("journey_type", "repair"),)}
MAIL: Final = {"table": "contact", "names": (("vertical", "Retail"), ("channel", "mail"))}
DOUBLED: Final = {"kind": "duplicated-rows", "table": "defect"}


@pytest.mark.parametrize(
    ("changes", "of", "is_explained"),
    [
        ({}, breach("response", vertical="Retail"), True),  # what spoils all rows spoils these
        ({}, breach("response"), True),
        ({}, breach("contact", vertical="Retail"), False),  # another table
        ({}, breach("revenue"), False),
        ({"table": "contact"}, breach("inbound"), True),  # inbound contacts are contacts
        ({"table": "contact"}, breach("wait"), True),  # waits lie between contacts
        ({"table": "contact"}, breach("issue"), True),  # an issue has contacts, and ends with its journey
        ({"table": "journey"}, breach("issue"), True),
        ({"table": "journey"}, breach("inbound"), False),
        ({"table": "contact"}, breach("journey", "contacts"), True),  # a journey counts its contacts
        ({"table": "contact"}, breach("journey", "kept"), False),  # and keeps its promise without them
        (DOUBLED, breach("journey", "defective"), True),
        (DOUBLED, breach("journey", "kept"), False),
        (DOUBLED, breach("response", "score", "journey.defects"), True),
        ({"table": "defect"}, breach("journey", "defective"), False),  # more defects are what happens to customers
        ({"table": "defect"}, breach("defect"), True),
        (RETAIL, breach("response", vertical="Retail"), True),
        (ENERGY, breach("response", vertical="Retail"), False),  # another vertical
        (ENERGY, breach("response"), False),  # one vertical does not speak for the company
        (ENERGY, breach("response", vertical="Energy,Retail"), False),
        (VISIT, breach("response", vertical="Retail", touchpoint="visit"), True),
        (VISIT, breach("response", vertical="Retail", touchpoint="call"), False),
        (VISIT, breach("response", vertical="Retail"), True),
        (REPAIR, breach("journey", journey_type="repair"), True),
        (REPAIR, breach("journey", journey_type="installation"), False),
        (REPAIR, breach("issue", journey_type="installation"), False),
        (MAIL, breach("contact", vertical="Retail", channel="phone"), False),
        (MAIL, breach("inbound", vertical="Retail", channel="phone"), True),  # a call may be answered by mail
        (MAIL, breach("inbound", vertical="Energy"), False),
        ({"until": date(2026, 1, 1), "since": date(2025, 12, 1)}, breach("response"), False),  # over before
        ({"since": date(2026, 1, 29)}, breach("response"), False),  # begins after
        ({"kind": "padded-promise", "table": "journey"}, breach("journey"), False),  # hides, never alarms
    ],
)
def test_explains(changes: dict[str, Any], of: Breach, is_explained: bool) -> None:  # noqa: FBT001
    found = (artefact(**changes),)
    assert tuple(explanations(found, of)) == (found if is_explained else ())


BEGIN: Final = datetime.combine(FIRST, time())
ROW_LIFE: Final[dict[str, Any]] = {"source": "crm", "first_loaded_at": BEGIN, "loaded_at": BEGIN}
ROW: Final = st.tuples(
    st.integers(0, 400), st.integers(0, 86_399), st.sampled_from(("phone", "mail")), st.sampled_from(("A1", "A2"))
)


def contacts(drawn: list[tuple[int, int, str, str]]) -> list[dict[str, Any]]:
    made = []
    for number, (day, second, channel, account) in enumerate(drawn):
        at = datetime.combine(FIRST, time()) + timedelta(days=day, seconds=second)
        made.append(
            {
                "source": "crm",
                "id": f"C{number}",
                "account_id": account,
                "touchpoint": "call",
                "channel": channel,
                "direction": "in",
                "occurred_at": at,
                "vertical": account,
                "day": at.date(),
                "first_loaded_at": at,
                "loaded_at": at,
            }
        )
    return made


@given(drawn=st.lists(ROW, min_size=1, max_size=40), seed=st.randoms(use_true_random=False))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_of_rows_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, int, str, str]], seed: Any
) -> None:
    rows = contacts(drawn + drawn[: len(drawn) // 2])  # some come twice
    as_of = datetime.combine(FIRST + timedelta(days=390), time(), UTC)
    profiles = []
    for _ in range(2):
        profiles.append(profiled(tmp_path_factory.mktemp("rows"), rows, as_of))
        seed.shuffle(rows)
    for one, other in zip(shape(profiles[0]), shape(profiles[1]), strict=True):
        assert one == other


def profiled(folder: Path, rows: list[dict[str, Any]], as_of: datetime) -> Profile:
    with warehouse(folder, catalog(), {tables.contact: rows}) as made, made.pin() as pin:
        return read_profile(pin.conn, "contact", as_of)


def shape(profile: Profile) -> list[Any]:
    named = (*profile.people.values(), profile.ages, profile.promises, profile.transits)
    parts = [p for p in (*profile.slices, profile.sources, profile.surplus, *named) if p is not None]
    return [profile.first, profile.days, *((p.columns, p.cells, p.counts.round(6).tolist()) for p in parts)]


def company() -> Mapping[Table, list[dict[str, Any]]]:
    """A journey, a survey and a defect a day for half a year, every fifth of them twice under another id."""
    rows: dict[Table, list[dict[str, Any]]] = {tables.journey: [], tables.response: [], tables.defect: []}
    rows[tables.person] = [{"person_id": "P1", "account_id": "A1", "role": "user"}]
    rows[tables.account_history] = [{"source": "crm", "account_id": "A1", "valid_from": FIRST, "tier": "key"}]
    for day in range(180):
        at = datetime.combine(FIRST, time(9, 7, day % 60)) + timedelta(days=day)
        end, due = at + timedelta(days=day % 9, hours=2), at + timedelta(days=5)
        for copy in range(1 + (day % 5 == 0)):
            own = {"source": "crm", "id": f"{day}-{copy}", "account_id": "A1", "day": at.date(), "vertical": None}
            about = {"journey_type": "repair", "started_at": at, "promised_at": due, "promised_day": due.date()}
            ended = {"ended_at": end, "ended_day": end.date(), "outcome": "reached"}
            rows[tables.journey].append({**own, **about, **ended})
            said = {"status": "answered", "responded_at": end, "responded_day": end.date()}
            rows[tables.response].append({**own, "person_id": "P1", "kind": "transaction", "invited_at": at, **said})
            rows[tables.defect].append({**own, "code": "broken", "occurred_at": at, "touchpoint": "visit"})
    return rows


def test_both_engines_read_the_same_profile(tmp_path: Path, postgres_url: str) -> None:
    rows = {of: [{**ROW_LIFE, **row} for row in own] for of, own in company().items()}
    rows[tables.contact] = contacts([(day % 40, day, "phone", "A1") for day in range(90)])
    as_of = datetime.combine(FIRST + timedelta(days=120), time(), UTC)
    found = []
    for made in (EmbeddedWarehouse(tmp_path / "warehouse"), SharedWarehouse(postgres_url)):
        publish(made, catalog(), rows)
        with made.pin() as pin:
            found.append({table: shape(read_profile(pin.conn, table, as_of)) for table in PROFILED})
        made.close()
    assert found[0] == found[1]
    for profile in found[0].values():
        assert profile[1] in (40, 120)
        assert all(sum(map(sum, one[2])) > 0 for one in profile[2:4])


def test_profile_counts_what_is_there(tmp_path: Path) -> None:
    drawn = [(0, 61, "phone", "A1"), (0, 61, "phone", "A1"), (0, 3600, "mail", "A2"), (0, 3600, "mail", "A2")]
    rows = contacts([*drawn, (3, 5, "phone", "A1"), (9, 5, "phone", "A1")])
    profile = profiled(tmp_path, rows, datetime.combine(FIRST + timedelta(days=9), time(), UTC))
    assert (profile.first, profile.days, profile.sampled) == (FIRST, 9, 1)  # the tenth day is not over
    channels = profile.slices[0]
    assert channels.cells == (("A1", "phone"), ("A2", "mail"))
    assert channels.counts[[0, 3]].tolist() == [[2, 2], [1, 0]]
    assert channels.counts.sum() == 5
    assert (profile.surplus.cells, profile.surplus.counts.sum()) == ((("A1",),), 1)  # a full hour proves nothing


def test_profile_of_an_empty_warehouse(tmp_path: Path) -> None:
    with warehouse(tmp_path, catalog(), {}) as made, made.pin() as pin:
        for table in PROFILED:
            profile = read_profile(pin.conn, table, datetime.combine(END, time(), UTC))
            assert profile.days == 0
            assert detect(profile, SINCE, END) == ()


def test_profile_of_no_such_table(tmp_path: Path) -> None:
    with (
        warehouse(tmp_path, catalog(), {}) as made,
        made.pin() as pin,
        pytest.raises(EarshotError, match="'revenue' has no profile; response, journey, contact, defect have one"),
    ):
        read_profile(pin.conn, "revenue", datetime.combine(END, time(), UTC))
