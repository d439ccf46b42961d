"""A small made-up company, written straight into a warehouse: what the pages show of it is known exactly."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Table, delete, select

from config.models import Calendar
from queries.engine import disposing
from queries.state import Evaluated, HistoryEntry, Incident, TickRecord, incident_id, open_state, write
from queries.warehouse import EmbeddedWarehouse, rollups, tables
from queries.warehouse.calendar import calendar_days
from tests.support.rows import put

VERTICALS: Final = ("Capital Markets", "Energy", "Insurance", "Payments", "Public Sector", "Retail Banking")
BROKEN: Final = "Energy"
"""Keeps far fewer of its promises since two months before the last."""
TINY: Final = "Insurance"
"""Has so few answers that none is shown."""

METRICS: Final = """
[[metric]]
name = "nps"
label = "Net promoter score"
shape = "balance"
table = "response"
dated_by = "responded_at"
good = "up"
unit = "points"
where = { scale = "nps", kind = "relationship", score = { known = true } }
plus = { score = { at_least = 9 } }
minus = { score = { at_most = 6 } }
factor = 100

[[metric]]
name = "promise-kept"
label = "Promises kept"
shape = "share"
table = "journey"
dated_by = "ended_at"
good = "up"
unit = "%"
where = { kept = { known = true } }
count = { kept = true }

[[metric]]
name = "defect-rate"
label = "Journeys with a defect"
shape = "share"
table = "journey"
dated_by = "ended_at"
good = "down"
unit = "%"
where = { defective = { known = true } }
count = { defective = true }
"""
GOALS: Final = "".join(
    f'[[goal]]\nmetric = "{metric}"\nvertical = "*"\nvalue = {value}\nvalid_from = 2015-01-01\n'
    for metric, value in (("nps", 20), ("promise-kept", 0.9), ("defect-rate", 0.12))
)
RULES: Final = """
[guard]
every = "7d"
window = "56d"
severity = 3
route = "service"
owner = "lead"

[[rule]]
name = "promises"
label = "Promises are not kept"
kind = "threshold"
metric = "promise-kept"
by = ["vertical"]
limit = 0.85
recover = 0.88
floor = 0.02
keep_firing = "14d"
window = "28d"
every = "7d"
false_alarms_per_year = 0.5
severity = 2
route = "service"
owner = "lead"
function = "Field Service"
runbook = "Ask the field team what changed, then call the accounts below."

[[rule]]
name = "detractor"
label = "A key account is a detractor"
kind = "event"
table = "response"
dated_by = "responded_at"
where = { score = { at_most = 6 } }
severity = 1
route = "service"
owner = "lead"
function = "Sales"
"""
ROUTES: Final = """
[[route]]
name = "service"
label = "Service quality"
ladder = [{ after = "0h", notify = "channel" }, { after = "4h", notify = "lead" }]

[[person]]
name = "lead"
label = "Head of installation"
audience = "analyst"
"""
AUDIENCES: Final = """
[review]
metrics = ["nps", "promise-kept", "defect-rate"]

[[audience]]
name = "analyst"
label = "Analyst"
pages = ["review", "incidents"]
issues = 50
figures = 200
charts = 24
grains = ["month"]
"""


@dataclass(frozen=True, slots=True)
class Company:
    """Where the company lives: set EARSHOT_CONFIG and EARSHOT_DATA to these."""

    config: Path
    data: Path
    months: tuple[date, ...]
    incident: str
    detractor: str

    @property
    def month(self) -> date:
        """The newest full month."""
        return self.months[-1]

    @property
    def environ(self) -> dict[str, str]:
        return {"EARSHOT_CONFIG": str(self.config), "EARSHOT_DATA": str(self.data)}


def found(
    folder: Path,
    today: date,
    verticals: Sequence[str] = VERTICALS,
    months: int = 26,
    zone: str = "UTC",
    clock: time = time(7, 30),
    also_broken: Sequence[str] = (),
) -> Company:
    """Write the company into `folder`, with `months` full months before `today`.

    Its incidents were found on the fifth of the last of them at `clock`, in the reporting zone. Those of
    `also_broken` are more of them, an issue each.
    """
    config, data = folder / "config", folder / "data"
    write_config(config)
    periods = tuple(_month(today, back) for back in range(months, 0, -1))
    with EmbeddedWarehouse(data / "warehouse").draft() as draft:
        _facts(draft.conn, draft.number, periods, verticals, zone)
    at = datetime.combine(periods[-1].replace(day=5), clock, ZoneInfo(zone)).astimezone(UTC)
    ids = _incidents(data, at, periods[-1], verticals, today)
    _break_more(data, at, periods[-1], also_broken)
    return Company(config, data, periods, *ids)


def load_more(company: Company, table: Table, *rows: dict[str, Any]) -> None:
    """Publish the company's next generation, with these rows more in a rollup."""
    with closing(EmbeddedWarehouse(company.data / "warehouse")) as warehouse, warehouse.draft() as draft:
        put(draft.conn, table, [*rows])
        known = dict(draft.conn.execute(select(tables.generation)).mappings().one())
        draft.conn.execute(delete(tables.generation))
        put(draft.conn, tables.generation, [known | {"number": draft.number}])


def load_late(company: Company) -> None:
    """Six hundred more journeys of the newest month, none of which kept its promise."""
    row = {"ended_day": company.month.replace(day=20), "vertical": "Payments", "journey_type": "installation"}
    row |= {"outcome": "reached", "kept": False, "multi_channel": False, "contacts": 4, "c": 600}
    load_more(company, rollups.roll_journey, row | {"defective": False, "defects": 0})


def write_config(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "metrics": METRICS,
        "goals": GOALS,
        "triggers": RULES,
        "routing": ROUTES,
        "audiences": AUDIENCES,
        "calendar": "[calendar]\n",
        "settings": "",
    }
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")


def _month(today: date, back: int) -> date:
    number = today.year * 12 + today.month - 1 - back
    return date(number // 12, number % 12 + 1, 1)


def _facts(conn: Connection, number: int, months: Sequence[date], verticals: Sequence[str], zone: str) -> None:
    every = calendar_days(Calendar(), date(months[0].year - 1, 1, 1), date(months[-1].year + 1, 12, 31))
    columns = [column.name for column in tables.calendar.c]
    put(conn, tables.calendar, [{name: getattr(day, name) for name in columns} for day in every])
    put(conn, rollups.roll_response, list(_answers(months, verticals)))
    put(conn, rollups.roll_journey, list(_journeys(months, verticals)))
    put(conn, rollups.roll_contact, list(_contacts(months, verticals)))
    _accounts(conn, months, verticals)
    # Journeys are counted by whether they had a defect: of a company without any row of it that would not be known.
    key = {"source": "company", "id": "D1", "first_loaded_at": datetime(2015, 1, 1), "loaded_at": datetime(2015, 1, 1)}  # noqa: DTZ001 - stored naive
    at = {"occurred_at": datetime(2015, 1, 1), "day": date(2015, 1, 1)}  # noqa: DTZ001
    put(conn, tables.defect, [{**key, **at, "account_id": "A00", "code": "late"}])
    published = datetime(months[-1].year, months[-1].month, 28, 6, 0)  # noqa: DTZ001 - stored naive
    named = {"number": number, "published_at": published, "zone": zone, "calendar_hash": "", "metrics_hash": ""}
    put(conn, tables.generation, [{**named, "source": "company", "summary": '{"source": "company"}'}])


def _answers(months: Sequence[date], verticals: Sequence[str]) -> Iterator[dict[str, Any]]:
    for month in months:
        for place, vertical in enumerate(verticals):
            n = 12 if vertical == TINY else 240
            shares = {10: 0.52 - place * 0.015, 8: 0.30 + place * 0.005, 3: 0.18 + place * 0.01}
            for score, share in shares.items():
                row = {"responded_day": month.replace(day=12), "vertical": vertical, "touchpoint": None}
                row |= {"instrument": "relationship", "kind": "relationship", "scale": "nps", "expectation": None}
                yield row | {"score": score, "c": round(n * share)}


def _journeys(months: Sequence[date], verticals: Sequence[str]) -> Iterator[dict[str, Any]]:
    for back, month in enumerate(reversed(months)):
        for place, vertical in enumerate(verticals):
            kept = 0.71 if vertical == BROKEN and back < 3 else 0.94 - place * 0.004 + 0.008 * ((back + place) % 3)
            defective = 0.16 if vertical == "Retail Banking" and back > 0 else 0.08 + 0.005 * place
            for is_kept, of_kept in ((True, kept), (False, 1 - kept)):
                for is_defective, of_defective in ((True, defective), (False, 1 - defective)):
                    row = {"ended_day": month.replace(day=17), "vertical": vertical, "journey_type": "installation"}
                    row |= {"outcome": "reached", "kept": is_kept, "multi_channel": False, "contacts": 4}
                    row |= {"defective": is_defective, "defects": int(is_defective)}
                    yield row | {"c": round(620 * of_kept * of_defective)}


def _contacts(months: Sequence[date], verticals: Sequence[str]) -> Iterator[dict[str, Any]]:
    for month in months:
        for vertical in verticals:
            row = {"day": month.replace(day=9), "vertical": vertical, "touchpoint": "call", "channel": "phone"}
            yield row | {"direction": "in", "c": 2400}


def _accounts(conn: Connection, months: Sequence[date], verticals: Sequence[str]) -> None:
    ids = [(f"A{place:02}", vertical) for place, vertical in enumerate(verticals)]
    put(conn, tables.account, [{"account_id": id_, "name": f"{vertical} Holding"} for id_, vertical in ids])
    since = {"source": "company", "valid_from": date(2015, 1, 1), "tier": "key"}
    put(conn, tables.account_history, [{**since, "account_id": id_, "vertical": v} for id_, v in ids])
    amounts = [
        {
            "source": "company",
            "account_id": id_,
            "vertical": vertical,
            "month": month,
            "currency": "EUR",
            "amount": 900_000.0 + 8_000 * n + 110_000 * int(id_[1:]),
        }
        for n, month in enumerate(months)
        for id_, vertical in ids
    ]
    put(conn, rollups.account_month, amounts)


def _incidents(data: Path, at: datetime, month: date, verticals: Sequence[str], today: date) -> tuple[str, str]:
    slot = month.replace(day=5)
    slice_ = f"vertical={verticals[1]}".replace("|", "\\|")
    broken = _incident("promises", slice_, verticals[1], None, 2, slot, at, value=0.71, n=618)
    shout = _incident("detractor", "response=company/R1", verticals[3], "A03", 1, slot, at, value=None, n=1)
    sample = {
        "metric": "promise-kept",
        "slice": slice_,
        "since": "2020-01-01",
        "until": slot.isoformat(),
        "tally": [618, 439, 0, 0, 0],
        "value": 0.71,
        "low": 0.67,
        "high": 0.744,
        "limit": 0.85,
        "recover": 0.88,
        "deff": 1.0,
        "p": 1e-6,
        "alpha": 0.002,
    }
    entries = (
        HistoryEntry(broken.id, 1, at, "opened", "beyond the limit", None, 1, sample),
        HistoryEntry(
            shout.id, 1, at, "opened", "a severe case", None, 1, {"key": "response=company/R1", "account_id": "A03"}
        ),
    )
    with disposing(open_state(data)) as states, states.begin() as conn:
        # Its rules are evaluated as they should be: the pages need not doubt that all incidents are here.
        now = datetime(today.year, today.month, today.day, tzinfo=UTC)
        slots = tuple(Evaluated(rule, today, 1, "", "made", now) for rule in ("promises", "detractor"))
        write(conn, TickRecord(slots=slots, opened=(broken, shout), entries=entries))
    return broken.id, shout.id


def _break_more(data: Path, at: datetime, month: date, verticals: Sequence[str]) -> None:
    """Incidents of verticals that keep their promises by now: so many issues more."""
    slot = month.replace(day=5)
    opened = tuple(
        _incident("promises", f"vertical={name}", name, None, 2, slot, at, value=0.8, n=600) for name in verticals
    )
    sample = {"since": "2020-01-01", "until": slot.isoformat(), "value": 0.8, "low": 0.76, "high": 0.83, "limit": 0.85}
    entries = tuple(
        HistoryEntry(one.id, 1, at, "opened", "beyond the limit", None, 1, {**sample, "slice": one.slice})
        for one in opened
    )
    with disposing(open_state(data)) as states, states.begin() as conn:
        write(conn, TickRecord(slots=(), opened=opened, entries=entries))


def _incident(
    rule: str, slice_: str, vertical: str, account: str | None, severity: int, slot: date, at: datetime, **known: Any
) -> Incident:
    is_event = known["value"] is None
    return Incident(
        id=incident_id(rule, slice_, None if is_event else slot),
        rule=rule,
        rule_hash="0",
        slice=slice_,
        class_="customer",
        severity=severity,
        route="service",
        ladder=json.dumps([{"after": "0m", "notify": "channel"}, {"after": "4h", "notify": "lead"}]),
        vertical=vertical,
        touchpoint=None,
        account_id=account,
        state="open",
        episode=1,
        opened_at=at,
        slot=slot,
        resolved_at=None,
        acknowledged_at=None,
        acknowledged_by=None,
        next_step=1,
        next_step_at=None,
        origin="live",
        version=1,
        **known,
    )
