"""The sheet that is shared with a customer, as a document. Pure."""

from collections.abc import Iterable
from datetime import date, tzinfo

from config.models import Person, label_of
from queries.accounts import AccountSheet
from queries.documents.paper import Lines, Paper, Section, Table, TableCell
from queries.metrics import count, day_words
from queries.state import Action


def sheet_paper(of: AccountSheet, name: str, today: date, zone: tzinfo, people: Iterable[Person]) -> Paper:
    """What one customer told us, and what we do about it.

    Args:
        of: the sheet.
        name: the account's.
        today: the day on which it is made.
        zone: in which instants have their days.
        people: who owners are.
    """
    known = [*people]
    said = (*told_lines(of), *(f"“{answer.comment}”" for answer in of.words))
    nothing = "You have not answered us in the last twelve months. We would like to hear from you."
    rows = tuple(
        (TableCell(a.what), TableCell(when(a, zone), a.due_on, "yyyy-mm-dd"), TableCell(label_of(a.owner, known)))
        for a in of.actions
    )
    done = Table("What we do", ("What", "By when", "Who"), rows) if rows else Lines(("Nothing is agreed yet.",))
    sections = (
        Section("What you told us in the last twelve months", (Lines(said or (nothing,)),)),
        Section("What we do about it", (done,)),
    )
    headline, day = "What you told us, and what we do", day_words(today)
    return Paper(f"{name}: what you told us, and what we do", name, headline, day, sections, (("Made on", day),))


def told_lines(of: AccountSheet) -> tuple[str, ...]:
    """What the account's people answered, a sentence each."""
    lines, told = [], of.relationship
    if told is not None and told.mean is not None:
        answers = "answer" if told.answers == 1 else "answers"
        lines.append(
            f"How likely you are to recommend us: {told.mean:.1f} of 10, from {count(told.answers)} {answers}."
        )
    lines += [
        f"{one.place}: {count(one.unhappy)} of {count(one.answers)} {'answer' if one.answers == 1 else 'answers'} "
        f"{'was' if one.unhappy == 1 else 'were'} unhappy"
        for one in of.places
    ]
    return tuple(lines)


def when(action: Action, zone: tzinfo) -> str:
    """By when an action is done, or when it was."""
    if action.done_at:
        return f"done on {day_words(action.done_at, zone)}"
    return f"due {day_words(action.due_on)}" if action.due_on else "no date yet"
