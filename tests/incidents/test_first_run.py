"""What stands when rules are first looked at: one digest a channel, and what has always been so to the analyst."""

from datetime import date, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, select

from config.models import Catalog, Route, Step
from queries.engine import disposing
from queries.messages import DueMessage, unsent
from queries.state import Incident, entries, passing_state, read_incidents, tables
from queries.warehouse import EVERYTHING, Pin
from tests.support.company import catalog, noon, rows_of, rule, warehouse, weeks
from triggers.incidents.tick import tick
from triggers.messages import CardReader, Composer

FIRST: Final = date(2025, 1, 6)
NOW: Final = FIRST + timedelta(weeks=50)
LADDER: Final = (Step(), Step(after=(timedelta(days=1),) * 4, notify="delivery-lead"))
ROUTES: Final = (Route(name="delivery", channel="C000000104", ladder=LADDER), Route(name="analysts"))
ALWAYS: Final = (25,) * 52
LONG: Final = (2,) * 12 + (25,) * 40
UNTIL_NOW: Final = (2,) * 12 + (25,) * 36 + (2,) * 16
OF_LATE: Final = (2,) * 41 + (50,) * 11


def company() -> Catalog:
    urgent = rule(name="urgent", severity=1, where={"vertical": "Lending"}, by=[])
    found = catalog(rule(keep_firing="7d"), urgent, routes=ROUTES)
    return found.model_copy(update={"guard": found.guard.model_copy(update={"route": "analysts"})})


def test_the_first_run(tmp_path: Path) -> None:
    verticals = {"Retail": ALWAYS, "Energy": UNTIL_NOW, "Payments": LONG, "Public": OF_LATE, "Lending": LONG}
    config = company()
    told = (week for vertical, story in verticals.items() for week in weeks(FIRST, story, vertical=vertical))
    with (
        disposing(passing_state()) as states,
        warehouse(tmp_path, config, rows_of(told)) as store,
        store.pin() as pin,
    ):
        tick(states, pin, config, noon(NOW))
        with states.connect() as conn:
            found = {(one.rule, one.vertical): one for one in read_incidents(conn, EVERYTHING) if one.is_open}
            waiting = {message.incident_id: message for message in unsent(conn)}
            parts = dict(conn.execute(select(tables.digest_part.c.incident_id, tables.digest_part.c.digest_id)).all())
            kinds = {key: [entry.kind for entry in entries(conn, one.id)] for key, one in found.items()}
            _assert_told(found, kinds, parts)
            # Two digests, the fresh one and the urgent one, each once.
            assert len(waiting) == len(unsent(conn)) == 4
            _assert_words(conn, config, pin, {key: parts.get(one.id, one.id) for key, one in found.items()})
        tick(states, pin, config, noon(NOW + timedelta(days=7)))
        with states.connect() as conn:
            climbed = [one.rule for one in found.values() for e in entries(conn, one.id) if e.kind == "escalated"]
        assert sorted(climbed) == ["defects", "urgent"], "what a digest told climbs no ladder"
        tick(states, pin, config, noon(NOW + timedelta(weeks=12)))
        with states.connect() as conn:
            energy = found["defects", "Energy"].id
            assert [entry.kind for entry in entries(conn, energy)][-1] == "resolved"
            assert {message.kind for message in unsent(conn) if message.incident_id == energy} == {"reply", "update"}


def _assert_told(
    found: dict[tuple[str, str | None], Incident], kinds: dict[tuple[str, str | None], list[str]], parts: dict[str, str]
) -> None:
    retail, energy, payments = (found["defects", name] for name in ("Retail", "Energy", "Payments"))
    assert (retail.route, kinds["defects", "Retail"]) == ("analysts", ["opened", "always"])
    assert (energy.route, kinds["defects", "Energy"]) == ("delivery", ["opened", "standing"])
    assert parts[energy.id] == parts[payments.id] != parts[retail.id]
    # Severity 1 speaks for itself, and for what else stands there; what is of late is told as ever.
    assert kinds["urgent", "Lending"][:2] == ["opened", "standing"]
    assert "standing" not in kinds["defects", "Public"]
    assert not {found["urgent", "Lending"].id, found["defects", "Public"].id} & parts.keys()


def _assert_words(conn: Connection, config: Catalog, pin: Pin, where: dict[tuple[str, str | None], str]) -> None:
    composer = Composer(CardReader(pin, config, "http://earshot.example", noon(NOW), "EUR"), config)
    words = {message.incident_id: composer.prepare(conn, DueMessage(message, "")).words for message in unsent(conn)}
    shown = {id_: "\n".join((said.title, *said.sentences)) for id_, said in words.items() if said is not None}
    energy = next(line for line in shown[where["defects", "Energy"]].splitlines() if "Energy" in line)
    assert "since " in energy
    assert "50%" in energy  # the figure of now; it was found with a smaller one
    assert "has always been so" in shown[where["defects", "Retail"]].lower()
    assert shown[where["urgent", "Lending"]].startswith("\N{LARGE RED CIRCLE} Critical, standing since ")
    assert "Standing" not in shown[where["defects", "Public"]]
