"""What is to be said, before any channel has put it into its own form. Pure.

Texts stand here as they are. Each channel escapes and shortens them by its own rules.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from config.models import Metric, Person, label_of
from queries.metrics import SEVERITY_WORDS, count, day_words, length_words, listed, moment_words
from queries.monitoring import CaseFile, Evidence, Overlap, Score
from queries.review import Timetable, expected_words
from queries.state import DECIDED, Action

NAME: Final = 80
"""A name that leaves room for the others."""

_COLOURS: Final = (
    "\N{LARGE RED CIRCLE}",
    "\N{LARGE ORANGE CIRCLE}",
    "\N{LARGE YELLOW CIRCLE}",
    "\N{LARGE BLUE CIRCLE}",
)
SEVERITIES: Final = {
    number: (colour, word.capitalize()) for (number, word), colour in zip(SEVERITY_WORDS.items(), _COLOURS, strict=True)
}
"""A colour and a word for each: red alone says nothing to whom red and green are alike."""
OVER: Final = {"resolved": ("\N{LARGE GREEN CIRCLE}", "Recovered"), "closed": ("\N{MEDIUM WHITE CIRCLE}", "Closed")}

OPEN_MENU: Final = {
    "snooze": "Snooze\N{HORIZONTAL ELLIPSIS}",
    "reassign": "Reassign\N{HORIZONTAL ELLIPSIS}",
    "resolve": "Close\N{HORIZONTAL ELLIPSIS}",
}
VOTES: Final = {"useful": "Useful: I needed to know", "noise": "Noise: I didn't need to know"}


NEWS: Final = {
    "opened": "Opened",
    "worsened": "Worse",
    "resolved": "Recovered",
    "closed": "Closed",
    "reopened": "Open again",
    "escalated": "Escalated",
    "acknowledged": "Acknowledged",
    "snoozed": "Snoozed",
    "woken": "Snooze ended",
    "reassigned": "Reassigned",
    "lapsed": "Unassigned",
    "deferred": "Escalation step",
    "digested": "Notified",
    "skipped": "Escalation step",
    "released": "Notified (no longer suppressed)",
    "standing": "Standing",
    "always": "Finding",
    "joined": "Same event",
    "decided": "Decided",
    "redecided": "Decision changed",
}
CONTINUED: Final = frozenset({"escalated", "snoozed", "reassigned", *DECIDED})
"""Kinds whose reason goes on with the sentence: `Escalated to ...`."""
PAST: Final = frozenset({"joined", "standing", "always"})
"""Kinds whose reason says its own days: when it was written down says nothing of what it tells."""


def mark(severity: int, state: str) -> tuple[str, str]:
    """How an incident looks at a glance: a colour and a word, by how severe it is while it is open."""
    return OVER.get(state) or SEVERITIES[severity]


def news(kind: str) -> str:
    """What a kind of entry is called; one of another version by its own name."""
    return NEWS.get(kind, kind.capitalize())


def cut(text: str, most: int) -> str:
    """A name that leaves room for the others."""
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a card: what it is, and what it says."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Button:
    """What can be pressed. `action` is its meaning, whatever the label says."""

    label: str
    action: str
    is_primary: bool = False


@dataclass(frozen=True, slots=True)
class Menu:
    """What is pressed less often, behind one button: labels by their actions."""

    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Link:
    """A way to a page."""

    label: str
    url: str


Control = Button | Menu | Link


@dataclass(frozen=True, slots=True)
class Picture:
    """What is shown beside the words, and said by `alt` to who cannot see it.

    A new one has its bytes as a PNG; one that the channel keeps already has the channel's own name for it, its `id`.
    """

    name: str
    alt: str
    png: bytes = b""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A message in its parts, in the order in which they are shown.

    Args:
        notice: the sentences of the notification, for whoever sees nothing else of it.
        title: what it is and where.
        sentences: paragraphs.
        facts: labelled lines.
        asks: the labelled lines that ask for something: how much revenue, what to do, by when.
        others: what else belongs to the same account.
        news: the last thing that happened.
        mentions: whom the channel tells by name.
        footnote: where it comes from, and why it comes here.
        actions: what can be pressed.
        note: what does not belong to the matter itself.
        incident: the id that the actions are about.
        picture: one that the channel keeps; a channel that shows none leaves it out.
    """

    notice: tuple[str, ...]
    title: str = ""
    sentences: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    asks: tuple[Fact, ...] = ()
    others: tuple[Link, ...] = ()
    news: str = ""
    mentions: tuple[Person, ...] = ()
    footnote: str = ""
    actions: tuple[Control, ...] = ()
    note: str = ""
    incident: str = ""
    picture: Picture | None = None


# A severe case in words: one sentence, and the facts behind it.

_ROLES: Final = {"decision-maker": "a decision-maker", "influencer": "a purchasing adviser", "user": "a user"}
_SCALES: Final = {
    "nps": ("10", "likelihood to recommend us"),
    "csat": ("5", "satisfaction"),
    "ces": ("7", "ease of dealing with us"),
}
_NAMED: Final = {"code": "defect code", "touchpoint": "touchpoint", "product": "product"}
_MOODS: Final = {-2: "very upset", -1: "upset", 0: "neutral", 1: "content", 2: "delighted"}


def case_sentence(case: CaseFile, who: str, table: Timetable, now: datetime) -> str:
    """What happened to whom, when, and for how long it has waited. `who` is the account as it may be named."""
    row, day, role = case.row, day_words(case.at, table.zone), _role(case.row)
    if case.table == "response" and "score" in row and row.get("scale") in _SCALES:
        most, question = _SCALES[row["scale"]]
        said = f"{role.capitalize()} at {who} gave us {row['score']} out of {most} for {question} on {day}"
        return f"{said}{_against(case.before, row['score'], table)}."
    if case.table == "issue":
        came = day_words(row["closed_at"], table.zone) if "closed_at" in row else ""
        after = length_words(timedelta(days=row["repeat_days"])) if "repeat_days" in row else "a short time"
        what = row.get("journey_type", "journey")
        trouble = f"{'fault' if what == 'repair' else 'issue'} ({row['issue_code']})"
        again = f"{_role(case.again or row).capitalize()} at {who} reported the same {trouble} again on {day}"
        return f"{again}, {after} after its {what} was finished{f' on {came}' if came else ''}."
    if case.table == "inbound":
        mood = _MOODS.get(row.get("emotion", 0), "") if row.get("emotion", 0) < 0 else ""
        person = f"{mood} {role.partition(' ')[2] or 'customer'}".strip()
        article = "An" if person[0] in "aeiou" and not person.startswith("user") else "A"
        waited = _waited(table, case.at, case.replied_at or now)
        if case.replied_at:
            came = day_words(case.replied_at, table.zone)
            return (
                f"{article} {person} at {who} wrote on {day} and waited {waited} for an answer, which came on {came}."
            )
        return f"{article} {person} at {who} has been waiting for an answer since {day}: {waited}."
    if case.table == "defect" and "code" in row:
        return f"{who[:1].upper()}{who[1:]} had a defect, “{row['code']}”, on {day}."
    return f"{who[:1].upper()}{who[1:]} had a severe case on {day}."


def _role(row: Mapping[str, Any]) -> str:
    return _ROLES.get(row.get("person.role", ""), "somebody")


def _against(before: Score | None, score: int, table: Timetable) -> str:
    """How a score compares with the one before."""
    if before is None:
        return ""
    way = "the same" if before.value == score else f"{'down' if score < before.value else 'up'} from {before.value}"
    on = f"{'as ' if before.value == score else ''}on {day_words(before.at, table.zone)}"
    whose = "" if before.is_same_person else ", when somebody else there answered"
    return f", {way} {on}{whose}"


def case_facts(case: CaseFile, who: str, table: Timetable, now: datetime) -> Iterator[Fact]:
    """Who, what, when, how long it waited, the mood, the journey, and what came before."""
    row = case.again or case.row
    role = row.get("person.role") or case.row.get("person.role")
    yield Fact("Who", f"{who}, {_ROLES[role].partition(' ')[2]}" if role else who)
    yield Fact("When", moment_words(case.at, table.zone))
    if what := _what(case):
        yield Fact("What", what)
    if case.table == "inbound":
        until = case.replied_at or now
        state = (
            f"answered {moment_words(until, table.zone)}"
            if case.replied_at
            else f"unanswered by {_read(case, now, table)}"
        )
        yield Fact("Waited" if case.replied_at else "Waiting", f"{_waited(table, case.at, until)}, {state}")
    elif now - case.at >= timedelta(hours=1):
        yield Fact("Since then", f"{_waited(table, case.at, now)} by {_read(case, now, table)}")
    if case.table == "issue":
        yield from _repairs(case, table)
    if "emotion" in row:
        yield Fact("Mood", _MOODS[row["emotion"]])
    kind = row.get("journey.journey_type") or row.get("journey_type")
    if kind and case.table != "issue":
        since = row.get("journey.started_at")
        yield Fact("Journey", f"{kind}, since {day_words(since, table.zone)}" if since else str(kind))
    if case.before:
        yield Fact("Score before", _score(case.before, table))


def _read(case: CaseFile, now: datetime, table: Timetable) -> str:
    """Until when time was counted, no finer than what was counted: days, or hours."""
    return (day_words if now - case.at >= timedelta(days=2) else moment_words)(now, table.zone)


def _what(case: CaseFile) -> str:
    """The score, or the way by which the customer came, with the code that the row has."""
    row, parts = case.again or case.row, list[str]()
    if "score" in row and row.get("scale") in _SCALES:
        parts.append(f"{row['score']} out of {_SCALES[row['scale']][0]} ({row['scale'].upper()})")
    parts += [f"{row['kind']} survey"] if "score" in row and "kind" in row else []
    parts += [f"{word} “{row[name]}”" for name, word in _NAMED.items() if name in row]
    parts += [f"by {row['channel']}"] if "channel" in row else []
    if case.table != "issue":
        parts += [f"issue {row['issue_code']}"] if "issue_code" in row else []
        parts += [f"defects: {_codes(case.defects)}"] if case.defects else []
    return ", ".join(parts)


def _codes(codes: tuple[str, ...]) -> str:
    return listed([f"“{code}”" for code in codes])


def _repairs(case: CaseFile, table: Timetable) -> Iterator[Fact]:
    """The first time and the second, each with its day and its fault."""
    row, again = case.row, case.again or {}
    begun = f"reported {day_words(row['opened_at'], table.zone)}, " if "opened_at" in row else ""
    done = f"finished {day_words(row['closed_at'], table.zone)}" if "closed_at" in row else "finished"
    yield Fact("First time", f"{begun}{done}; {_fault(row, case.defects)}")
    later = {**row, **again}
    yield Fact("Second time", f"reported {moment_words(case.at, table.zone)}; {_fault(later, case.again_defects)}")


def _fault(row: Mapping[str, Any], defects: tuple[str, ...]) -> str:
    return f"fault {row['issue_code']}" + (f", defects: {_codes(defects)}" if defects else "")


def _score(before: Score, table: Timetable) -> str:
    most = _SCALES[before.scale][0] if before.scale in _SCALES else "?"
    by = "by the same person" if before.is_same_person else "by somebody else there"
    return f"{before.value} out of {most} ({before.scale.upper()}) on {day_words(before.at, table.zone)}, {by}"


def _waited(table: Timetable, since: datetime, until: datetime) -> str:
    """How long it is between two instants, and of a day or more how much of that was business time."""
    length = until - since
    return (
        f"{length_words(length)} ({table.worked(since, until)})"
        if length >= timedelta(days=1)
        else length_words(length)
    )


def case_text(slice_: str) -> str:
    """The row of a case: `response R1 from crm`."""
    table, _, key = slice_.partition("=")
    source, _, id_ = key.partition("/")
    return f"{table} {id_} from {source}" if id_ else slice_


def action_text(action: Action, people: Sequence[Person], zone: tzinfo, metric: Metric | None) -> str:
    """What is undertaken, whose it is, by when or since when it is done, and what is expected of it."""
    due = f"due {day_words(action.due_on)}" if action.due_on else "no due date"
    when = f"done {day_words(action.done_at, zone)}" if action.done_at else due
    parts = label_of(action.owner, people), when, expected_words(action, metric)
    return f"{action.what} ({', '.join(filter(None, parts))})"


def overlap_text(one: Overlap, zone: tzinfo) -> str:
    """A condition of the same time, what kind it is, and its days."""
    since = day_words(one.since, zone)
    when = f"{since} to {day_words(one.until, zone)}" if one.until else f"since {since}"
    return f"{cut(one.name, NAME)} ({one.kind}, {when})"


def accounts_fact(evidence: Evidence, *, may_name: bool) -> Fact:
    """The accounts with a part in a figure, by name where that is allowed; those without a bad case are not named."""
    affected, of_all = count(len(evidence.affected)), count(evidence.accounts)
    is_ranked = evidence.accounts > 1 and evidence.bad is not None
    affecting = [one for one in evidence.contributors if one.bad != 0]
    if not may_name or (evidence.withheld and not affecting):
        known = f"{affected} of {of_all}" if is_ranked else of_all
        where = "names are withheld for privacy" if evidence.withheld else "names in the dashboard"
        return Fact("Accounts affected" if is_ranked else "Accounts", f"{known} ({where})")
    named = list[str]()
    for account in affecting:
        rows = count(account.n) if account.bad is None else f"{count(account.bad)} of {count(account.n)}"
        is_single = account.n == account.bad == 1
        named.append(
            cut(account.name, NAME) + ("" if is_single else f" ({rows} {'case' if account.n == 1 else 'cases'})")
        )
    more = len(evidence.affected) - len(named)
    text = ", ".join(named) + (f" and {count(more)} more" if more > 0 and named else "")
    if is_ranked and named:
        text += f"; {affected} of {of_all} accounts had a bad case"
    return Fact("Accounts most affected" if is_ranked else "Accounts", text or of_all)
