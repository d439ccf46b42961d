"""What a meeting decided, as a document. Pure."""

from collections.abc import Iterable
from datetime import date

from queries.documents.paper import Item, Lines, Paper, Section, Table, TableCell
from queries.metrics import count, day_words
from queries.review import EVERYWHERE, Issue, Review


def minutes_paper(review: Review, closed: Iterable[str]) -> Paper:
    """The minutes of a review; `closed` are the sentences that say when, by whom and before whom it was closed."""
    where = review.vertical or EVERYWHERE
    items = tuple(
        Item(
            number,
            issue.what,
            issue.where,
            issue.figure,
            tuple(filter(None, (issue.against, f"n = {count(issue.n)}" if issue.n else ""))),
            _decided(issue),
        )
        for number, issue in enumerate(review.issues, start=1)
    )
    carried = tuple(
        (TableCell(one.action.what), due(one.action.due_on), TableCell(one.action.owner)) for one in review.carried
    )
    sections = (
        Section("What was decided", items or (Lines(("There was no key issue.",)),)),
        Section(
            "What was carried over",
            (Table("Carried over", ("What", "By when", "Who"), carried) if carried else Lines(("Nothing.",)),),
        ),
    )
    title = f"Minutes of the review of {review.month:%B %Y}, {where}"
    said = " ".join(closed) or "Not closed yet."
    about = (("Review", f"{review.month:%B %Y}, {where}"), ("State", said))
    return Paper(title, f"Minutes · {where}", f"What the review of {review.month:%B %Y} decided", said, sections, about)


def _decided(issue: Issue) -> tuple[tuple[str, TableCell], ...]:
    made = issue.decision
    if made is None:
        return (("Decision", TableCell("Nothing was decided.", tone="quiet")),)
    return ("Decision", TableCell(made.what)), ("Owner", TableCell(made.owner)), ("Due", due(made.due_on))


def due(day: date | None) -> TableCell:
    """By when an action is to be done."""
    if day is None:
        return TableCell("no due date", tone="quiet")
    return TableCell(f"due {day_words(day)}", day, "yyyy-mm-dd")
