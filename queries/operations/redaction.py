"""Take an erased account or person out of the state, and have what Slack shows brought up to date."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Final
from uuid import uuid5

from sqlalchemy import Column, Connection, delete, insert, select, union, update

from queries.engine import naive
from queries.messages import discard_pictures
from queries.state import (
    DECIDED,
    NAMESPACE,
    HistoryEntry,
    Incident,
    annotate,
    incidents_by_id,
    map_slice,
    read_incidents,
    tables,
)
from queries.warehouse import EVERYTHING, KEYS

REASON: Final = "what it was about has been erased"
MAY_BE_POSTED: Final = ("sent", "claimed", "unsure")
_WHOSE: Final = ("account", "account_id", "person", "person_id")
TYPED: Final = "fields"
"""The field of a press in Slack that holds what was typed into a form."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """What goes.

    Args:
        hash: the tombstone; its beginning stands where the key stood.
        at: when the key was erased, naive UTC: for one erasure a message is updated once, however often it is run.
        account: the account's id, None for a person.
        people: the ids of the person, or of the account's people.
        name: the account's name, where it was known.
        may_be_named: whether any message with accounts in it may have named it.
    """

    hash: str
    at: datetime
    account: str | None
    people: frozenset[str]
    name: str | None
    may_be_named: bool

    @property
    def mark(self) -> str:
        """What stands in the place of a key."""
        return f"erased-{self.hash[:8]}"

    def value(self, column: str, value: str) -> str:
        """What stands in a column or field: the mark where it is of an account or a person and holds their key.

        By what the column holds and not by the text alone: a team of 30 is no trace of the account 30.
        """
        if (column in _WHOSE[:2] and value == self.account) or (column in _WHOSE[2:] and value in self.people):
            return self.mark
        # A case names its row, as `revenue=crm/A1/2026-01-01`; any of the parts but the account may hold a stroke.
        if self.account and "account_id" in KEYS.get(column, ()):
            return f"/{value}/".replace(f"/{self.account}/", f"/{self.mark}/")[1:-1]
        return value

    def slice(self, text: str) -> str:
        """`vertical=retail|account_id=A1`, without the keys."""
        return map_slice(text, self.value)

    def json(self, text: str) -> str:
        """JSON without the keys: in fields that name an account or a person, in slices, and in what was typed."""
        try:
            before = json.loads(text)
        except ValueError:
            return text
        after = self._field("", before)
        return json.dumps(after, sort_keys=True) if after != before else text

    def _field(self, field: str, value: Any) -> Any:
        if isinstance(value, str):
            if field == TYPED:
                return self.said(value)
            return self.slice(value) if field in {"slice", "key"} else self.value(field, value)
        if isinstance(value, list):
            return [self._field(field, each) for each in value]
        if isinstance(value, dict):
            # What a condition asks of a column stands below the column's name.
            within = field if field in {TYPED, *_WHOSE} else ""
            return {name: self._field(within or name, each) for name, each in value.items()}
        return value

    def document(self, text: str) -> str:
        """A closed review without the keys and the name. Its figures, and the program's own sentences, stay."""
        typed = dict[str, str]()

        def rewritten(value: Any) -> Any:
            if isinstance(value, list):
                return [rewritten(each) for each in value]
            if not isinstance(value, dict):
                return value
            made = {name: rewritten(each) for name, each in value.items()}
            # An action or a decision has a beginning; where the financials were opened there is a reason.
            texts = ("what", "owner") if "started_on" in value else ("reason",) if "reason" in value else ()
            made |= {name: self.said(value[name]) for name in texts}
            if "what" in texts:
                typed[value["what"]] = made["what"]
            changes: dict[str, Callable[[str], str]] = {"author": self.staff, "issue": self.slice}
            if "figure_of" in value:
                changes["id"] = self.slice
            if "account_id" in value:
                changes["account_id"] = partial(self.value, "account_id")
            return made | {name: change(value[name]) for name, change in changes.items() if value.get(name)}

        def quoting(value: Any) -> Any:
            """What says an action in the program's sentence: it improved something, or overlaps with another one."""
            if isinstance(value, list):
                return [quoting(each) for each in value]
            if isinstance(value, dict):
                return {
                    name: [_replaced(line, typed) for line in each] if name in _QUOTING else quoting(each)
                    for name, each in value.items()
                }
            return value

        before = json.loads(text)
        after = quoting(rewritten(before))
        return json.dumps(after, sort_keys=True, ensure_ascii=False) if after != before else text

    def said(self, text: str) -> str:
        """What people wrote, without keys and name, in whatever case and with whatever ending (`A1's`, `acme-team`)."""
        return _as_words(self.people | {self.account or ""}, self.name or "").sub(self.mark, text)

    def staff(self, name: str) -> str:
        """Who did it: one of our own, unless a customer's person is called the same."""
        return self.value("person_id", name)


_CHANGES: Final[Mapping[str, Callable[[Redaction, str], str]]] = {
    "slice": Redaction.slice,
    "json": Redaction.json,
    "said": Redaction.said,
    "staff": Redaction.staff,
    "document": Redaction.document,
}
_QUOTING: Final = frozenset({"improved", "repeatable", "reasons"})
"""The fields of a closed review that quote what somebody typed in a sentence of the program's."""


def _replaced(line: str, texts: Mapping[str, str]) -> str:
    for before in sorted(texts, key=len, reverse=True):
        line = line.replace(before, texts[before])
    return line


@lru_cache(maxsize=8)
def _as_words(keys: frozenset[str], name: str) -> re.Pattern[str]:
    """Keys and a name where they stand as words: `A10`, `B-A1` and `A1-2` are not `A1`, and 1.30 is not 30."""
    # The longest first: of several that fit a pattern takes the first, and `A1` would leave the end of `A1-2`.
    ordered = sorted(filter(None, keys), key=len, reverse=True)
    numbers = [rf"(?<!\d[.,:]){re.escape(key)}(?![.,:]\d)" for key in ordered if key.isdecimal()]
    ids = "|".join([*numbers, *(re.escape(key) for key in ordered if not key.isdecimal())])
    # A name may be broken over lines, and be a part of a longer word: ex-Acme.
    names = r"\s+".join(map(re.escape, name.split()))
    words = [rf"(?<![\w-])(?:{ids})"] + ([rf"(?<![^\W_]){names}"] if names else [])
    return re.compile(rf"(?:{'|'.join(words)})(?:['’]?e?s)?(?![^\W_])(?![-_]\d)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Redacted:
    """Incidents whose slice was redacted, other texts that changed, and messages that are due to be updated."""

    incidents: int
    texts: int
    messages: int


def redact(conn: Connection, what: Redaction, now: datetime) -> Redacted:
    """Take the keys out of the state. Incidents stay; one that is open and about the key is closed."""
    changed = set[str]()
    for incident in read_incidents(conn, EVERYTHING):
        is_own = what.account is not None and incident.account_id == what.account
        after = what.slice(incident.slice)
        if is_own:
            # The slice of a case names a row of the account, so all of it goes.
            after = f"{incident.slice.partition('=')[0]}={what.mark}/{incident.id[:8]}"
        if is_own or after != incident.slice:
            _redact_incident(conn, replace(incident, account_id=None if is_own else incident.account_id), after, now)
            changed.add(incident.id)
    # Each shows the figures of what was erased.
    discard_pictures(conn, changed, now)
    # The messages of what people do about an incident say it in their own words.
    action = tables.action.c
    written = conn.execute(select(action.incident_id, action.what, action.owner).where(action.incident_id.is_not(None)))
    told = {id_ for id_, *texts in written if any(what.said(text) != text for text in texts)}
    # What a rule remembers of a slice that is no more.
    texts = 0
    for table in (tables.instance, tables.rule_error):
        for rule, slice_ in conn.execute(select(table.c.rule, table.c.slice)).all():
            if what.slice(slice_) != slice_:
                conn.execute(delete(table).where(table.c.rule == rule, table.c.slice == slice_))
                texts += 1
    columns = [column for table in tables.state.sorted_tables for column in table.c]
    texts += sum(_rewrite(conn, column, what) for column in columns if column.info.get("holds") in _CHANGES)
    return Redacted(len(changed), texts, _queue(conn, changed | told, what, now))


def _redact_incident(conn: Connection, before: Incident, slice_: str, now: datetime) -> None:
    """An incident under another slice, also where its own samples repeat it."""
    table = tables.incident_event
    for seq, sample in conn.execute(select(table.c.seq, table.c.sample).where(table.c.incident_id == before.id)).all():
        old, new = json.dumps(before.slice), json.dumps(slice_)
        if sample and old in sample:
            same = (table.c.incident_id == before.id) & (table.c.seq == seq)
            conn.execute(update(table).where(same).values(sample=sample.replace(old, new)))
    after = replace(before, slice=slice_, version=before.version + 1)
    if before.is_open:
        after = replace(after, state="closed", resolved_at=now, next_step_at=None)
    kind = "closed" if before.is_open else "redacted"
    annotate(conn, after, HistoryEntry(before.id, after.version, now, kind, REASON))


def _rewrite(conn: Connection, column: Column[Any], what: Redaction) -> int:
    """Change a column wherever it holds a key. Returns how many rows did."""
    table, change = column.table, _CHANGES[column.info["holds"]]
    keys = list(table.primary_key)
    rows = select(*keys, column).where(column.is_not(None))
    if column is tables.incident_event.c.reason:
        # Of an incident's history people write why they closed it and what they decided; the rest is the program's.
        rows = rows.where(table.c.kind.in_(("closed", *DECIDED)), table.c.author.is_not(None))
    changed = 0
    for *key, before in conn.execute(rows).all():
        if (after := change(what, before)) != before:
            same = (part == value for part, value in zip(keys, key, strict=True))
            values = {column.name: after, **({"erased_at": what.at} if "erased_at" in table.c else {})}
            changed += conn.execute(update(table).where(*same).values(values)).rowcount
    return changed


def _queue(conn: Connection, changed: Collection[str], what: Redaction, now: datetime) -> int:
    """Have each root message that may show the key shown anew, from the data without it."""
    message, root = tables.outbox, tables.slack_root
    # What was claimed or is in doubt may stand in Slack without a row that says where.
    tried = select(message.c.incident_id, message.c.target)
    tried = tried.where(message.c.kind == "root", message.c.state.in_(MAY_BE_POSTED))
    places = sorted(
        (id_, target) for id_, target in conn.execute(union(tried, select(root.c.incident_id, root.c.target)))
    )
    known = incidents_by_id(conn, sorted({id_ for id_, _ in places}))
    rows = []
    for id_, target in places:
        if id_ in known and (id_ in changed or (what.may_be_named and known[id_].account_id is None)):
            name = json.dumps([id_, "erased", what.hash, what.at.isoformat(), target])
            # One more than there is, so that no message on its way can stand in for the update.
            version = known[id_].version + 1
            row = {"id": str(uuid5(NAMESPACE, name)), "incident_id": id_, "target": target, "kind": "update"}
            row |= {"episode": known[id_].episode, "step": version, "version": version, "state": "pending"}
            rows.append({**row, "attempts": 0, "due_at": naive(now), "created_at": naive(now)})
    present = set(conn.scalars(select(message.c.id).where(message.c.id.in_([row["id"] for row in rows]))))
    new = [row for row in rows if row["id"] not in present]
    if new:
        conn.execute(insert(message), new)
    return len(new)
