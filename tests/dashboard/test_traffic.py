"""Whatever readers ask for, nothing outside their scope is sent: pages, sockets and downloads of made companies.

Every vertical, touchpoint, account, name and comment of a company is a word that stands nowhere else.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from config.reading import read_catalog
from queries.engine import disposing
from queries.state import open_state, read_incidents
from queries.warehouse import COLUMNS, EVERYTHING, EmbeddedWarehouse, tables
from tests.counterparts import oidc
from tests.support.company import LOADED, noon, publish
from tests.support.readers import Reader, ReaderTab, Site, serving, words
from tests.support.small_company import METRICS, ROUTES, RULES, Company, write_config
from triggers.incidents.tick import tick

pytestmark = [pytest.mark.slow(minutes=3), pytest.mark.skipif(bool(oidc.missing()), reason=oidc.missing() or "")]
FIRST: Final = date(2026, 7, 6)
WEEKS: Final = 19
TODAY: Final = FIRST + timedelta(weeks=WEEKS, days=1)
MONTH: Final = "2026-10"
SATISFIED: Final = """
[[metric]]
name = "csat"
label = "Satisfied customers"
shape = "share"
table = "response"
dated_by = "responded_at"
good = "up"
unit = "%"
where = { scale = "csat", score = { known = true } }
count = { score = { at_least = 4 } }
"""
UNHAPPY: Final = """
[[rule]]
name = "unhappy"
label = "Customers are unhappy"
kind = "threshold"
metric = "csat"
by = ["vertical", "touchpoint"]
min_n = 10
limit = 0.8
recover = 0.9
floor = 0
keep_firing = "14d"
window = "28d"
every = "7d"
false_alarms_per_year = 6
severity = 3
route = "service"
owner = "lead"
"""
AUDIENCES: Final = """
[review]
metrics = ["nps", "promise-kept", "defect-rate"]

[privacy]
exempt = ["talk"]
"""
AUDIENCE: Final = """
[[audience]]
name = "{name}"
label = "{name}"
pages = {pages}
issues = 20
figures = 100
charts = 20
grains = ["month"]
rows = {rows}
verbatims = {verbatims}
account_names = {names}
"""
WORDS: Final = ("vertical", "touchpoint", "account", "name", "comment")


@dataclass(frozen=True)
class Kind:
    """An audience, and the pages that it opens."""

    name: str
    pages: tuple[str, ...]
    rows: bool = False
    verbatims: bool = False
    names: bool = False


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("analyst", ("review", "incidents", "accounts", "lab"), rows=True, verbatims=True),
        Kind("executive", ("review",)),
        Kind("gm", ("review", "incidents", "accounts"), names=True),
        Kind("specialist", ("incidents",), rows=True, names=True),
        Kind("account-team", ("accounts", "incidents"), rows=True, verbatims=True, names=True),
    )
}


@dataclass
class Made:
    """A company, and what its words are about: by kind each word with its vertical and account."""

    company: Company
    about: dict[str, dict[str, tuple[str, str]]] = field(default_factory=lambda: {kind: {} for kind in WORDS})
    quotable: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Somebody:
    """A person, and what of the company is for them; None is everything."""

    name: str
    kind: Kind
    verticals: frozenset[str] | None = None
    touchpoints: frozenset[str] | None = None
    accounts: frozenset[str] | None = None

    @property
    def toml(self) -> str:
        limits = {"verticals": self.verticals, "touchpoints": self.touchpoints, "accounts": self.accounts}
        head = f'\n[[person]]\nname = "{self.name}"\nlabel = "{self.name}"\naudience = "{self.kind.name}"\n'
        written = "".join(f"{key} = {sorted(value)}\n" for key, value in limits.items() if value is not None)
        return f'{head}email = "{self.name}@example.com"\n{written}'

    def sees(self, made: Made) -> set[str]:
        """The words that may be sent to them."""
        own = {
            account
            for account, (vertical, _) in made.about["account"].items()
            if self.verticals is None or vertical in self.verticals
        }
        own &= own if self.accounts is None else self.accounts
        places = {made.about["account"][account][0] for account in own} if self.accounts is not None else self.verticals
        found = own | {vertical for vertical in made.about["vertical"] if places is None or vertical in places}
        found |= {one for one in made.about["touchpoint"] if self.touchpoints is None or one in self.touchpoints}
        if self.kind.names:
            found |= {name for name, (_, account) in made.about["name"].items() if account in own}
        if self.kind.verbatims:
            found |= {word for word in made.quotable if made.about["comment"][word][1] in own}
        return found


def a_company(folder: Path, seed: int) -> Made:
    """Verticals that break their promises and talk badly of one touchpoint, with what was found of it."""
    rng = np.random.default_rng(seed)
    config, data = folder / "config", folder / "data"
    made = Made(Company(config, data, (), "", ""))

    def word(kind: str, vertical: str = "", account: str = "") -> str:
        new = f"{kind[0]}{rng.bytes(5).hex()}"
        made.about[kind][new] = (vertical, account)
        return new

    life = {"source": "made", "first_loaded_at": LOADED, "loaded_at": LOADED}
    touchpoints = [word("touchpoint") for _ in range(3)]
    found: dict[Any, list[dict[str, Any]]] = {
        table: [] for table in (tables.account, tables.account_history, tables.journey, tables.contact, tables.response)
    }
    revenue: list[dict[str, Any]] = []
    for vertical in (word("vertical") for _ in range(4)):
        for number in range(3):
            account = word("account", vertical)
            found[tables.account].append(
                {**life, "account_id": account, "name": word("name", vertical, account), "since": FIRST}
            )
            since = {"account_id": account, "vertical": vertical, "tier": "key", "valid_from": FIRST - timedelta(400)}
            found[tables.account_history].append({**life, **since})
            revenue += [
                {**life, **since, "month": date(2026, month, 1), "amount": 1000.0, "currency": "EUR"}
                for month in (8, 9, 10)
            ]
            of = {**life, "account_id": account, "vertical": vertical}
            _live(rng, found, of, touchpoints, number, made, word)
    write_config(config)
    for name, text in (
        ("metrics", METRICS + SATISFIED),
        ("triggers", RULES + UNHAPPY),
        ("audiences", AUDIENCES + "".join(map(_audience, KINDS.values()))),
    ):
        (config / f"{name}.toml").write_text(text, "utf-8")
    catalog = read_catalog(config, COLUMNS)
    rows = {table: _alike(table, of) for table, of in {**found, tables.revenue: revenue}.items()}
    warehouse = EmbeddedWarehouse(data / "warehouse")
    publish(warehouse, catalog, rows)
    with disposing(open_state(data)) as state, warehouse.pin() as pin:
        tick(state, pin, catalog, noon(TODAY), scans=False)
    warehouse.close()
    return made


def _alike(table: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{column.name: row.get(column.name) for column in table.c} for row in rows]


def _audience(kind: Kind) -> str:
    has = {name: str(getattr(kind, name)).lower() for name in ("rows", "verbatims", "names")}
    return AUDIENCE.format(name=kind.name, pages=[*kind.pages], **has)


def _live(
    rng: np.random.Generator, found: Any, of: dict[str, Any], touchpoints: list[str], number: int, made: Made, word: Any
) -> None:
    """What an account lives through: journeys that fail, contacts, answers, and what few or many people write."""
    account, writers = of["account_id"], 9 if number == 0 else 3
    for week in range(WEEKS):
        at = datetime.combine(FIRST + timedelta(weeks=week, days=int(rng.integers(5))), time(9 + int(rng.integers(8))))
        days = {"day": at.date(), "invited_day": at.date(), "responded_day": at.date(), "ended_day": at.date()}
        for i in range(12):
            kept = rng.random() < (0.95 if week < WEEKS - 6 else 0.5)
            promised = at + timedelta(days=1 if kept else -1)
            key = {**of, **days, "id": f"{account}-{week}-{i}", "journey_type": "installation", "outcome": "reached"}
            found[tables.journey].append(
                {**key, "started_at": at - timedelta(days=2), "promised_at": promised, "ended_at": at}
            )
        for person in range(writers):
            touchpoint = touchpoints[(person + number) % 3]
            who = {**of, **days, "id": f"{account}-{week}-{person}", "person_id": f"{account}-p{person}"}
            who["touchpoint"] = touchpoint
            contact = {"direction": "in", "channel": "phone", "occurred_at": at, "emotion": int(rng.integers(-2, 3))}
            found[tables.contact].append({**who, **contact})
            is_bad = touchpoint == touchpoints[0] and week >= WEEKS - 6
            answer: dict[str, Any] = {
                "kind": "transaction",
                "status": "answered",
                "scale": "csat",
                "instrument": "survey",
            }
            answer |= {"invited_at": at, "responded_at": at, "score": 1 if is_bad else 5}
            if week == WEEKS - 5 - person % 3:
                is_talk = person == 1
                answer |= {"scale": "nps", "kind": "relationship", "instrument": "talk" if is_talk else "survey"}
                answer |= {"score": 2, "comment": word("comment", of["vertical"], account)}
                if is_talk or writers > 8:
                    made.quotable.add(answer["comment"])
            found[tables.response].append({**who, **answer})


def people(made: Made, rng: np.random.Generator) -> list[Somebody]:
    verticals, accounts = sorted(made.about["vertical"]), sorted(made.about["account"])
    touchpoints = sorted(made.about["touchpoint"])

    def some(of: list[str], many: int) -> frozenset[str]:
        return frozenset(str(one) for one in rng.choice(of, many, replace=False))

    one = some(verticals, 1)
    return [
        Somebody("analyst", KINDS["analyst"]),
        Somebody("chief", KINDS["executive"]),
        Somebody("gm-of-one", KINDS["gm"], one),
        Somebody("gm-of-two", KINDS["gm"], some([v for v in verticals if v not in one], 2)),
        Somebody("expert", KINDS["specialist"], touchpoints=some(touchpoints, 1)),
        Somebody("team", KINDS["account-team"], accounts=some(accounts, 2)),
    ]


def crawl(
    reader: Reader, tab: ReaderTab, made: Made, incidents: Collection[str], accounts: Collection[str]
) -> Iterator[tuple[str, str, list[bytes]]]:
    """Ask for everything there is, whoever it is for; each time what was asked for, in words, and what came."""
    asked: list[tuple[str, dict[str, str]]] = [("", {}), ("incident", {}), ("accounts", {}), ("lab", {})]
    asked += [("incident", {"id": id_}) for id_ in incidents]
    asked += [("accounts", {"id": account}) for account in accounts]
    asked += [(page, {"vertical": v}) for v in made.about["vertical"] for page in ("", "incident", "accounts")]
    for page, query in asked:
        reader.sent.clear()
        tab.run(page, **query)
        yield page, "".join(query.values()), [*reader.sent]
    for vertical in ("", *made.about["vertical"]):
        for name in ("figures.csv", "issues.csv", "actions.csv", "revenue.csv", "goals.svg"):
            reader.sent.clear()
            reader.get(f"files/{name}?month={MONTH}" + (f"&vertical={vertical}" if vertical else ""))
            yield name, vertical, [*reader.sent]


@contextmanager
def _signed_in(site: Site, name: str) -> Iterator[tuple[Reader, ReaderTab]]:
    with Reader(site.url) as reader:
        reader.sign_in(f"{name}@example.com", "incident")
        with reader.tab() as tab:
            yield reader, tab


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.proof) for seed in range(1, 10))])
def test_nothing_outside_a_readers_scope_is_sent(tmp_path: Path, seed: int) -> None:
    made = a_company(tmp_path, seed)
    rng = np.random.default_rng(seed)
    somebody = people(made, rng)
    (made.company.config / "routing.toml").write_text(ROUTES + "".join(one.toml for one in somebody), "utf-8")
    with disposing(open_state(made.company.data)) as state, state.connect() as conn:
        found = read_incidents(conn, EVERYTHING)
    incidents = [str(one) for one in rng.permutation([incident.id for incident in found])[:8]]
    assert {incident.rule for incident in found} == {"promises", "detractor", "unhappy"}
    every = {word for kind in WORDS for word in made.about[kind]}
    with serving(made.company) as site:
        for one in somebody:
            allowed, came = one.sees(made), set[str]()
            accounts = sorted(made.about["account"], key=lambda account: account not in allowed)
            # Some of their own, and some of others'.
            accounts = [*accounts[:2], *accounts[-3:]]
            with _signed_in(site, one.name) as (reader, tab):
                assert f"as {one.name}." in words(tab.run("accounts"))
                for what, asked, sent in crawl(reader, tab, made, incidents, accounts):
                    whole = b"\n".join(sent)
                    words_ = {word for word in every if word.encode() in whole}
                    assert words_ - allowed - {asked} == set(), (one.name, what, asked)
                    came |= words_
            # What is theirs they are sent, of every kind that their audience has.
            kinds = {kind for kind in WORDS for word in came if word in made.about[kind]}
            assert {"vertical"} <= kinds, one.name
            assert ("name" in kinds) == one.kind.names, one.name
            assert ("comment" in kinds) == one.kind.verbatims, one.name
        with _signed_in(site, "stranger") as (stranger, tab):
            for what, asked, sent in crawl(stranger, tab, made, incidents, accounts):
                whole = b"\n".join(sent)
                assert {word for word in every - {asked} if word.encode() in whole} == set(), what
            assert "stranger@example.com may not read anything here." in words(tab.run())
