"""What readers expected of a month's figures before they saw them: rows are added, and none is ever changed."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Final

from sqlalchemy import Column, Connection, Date, DateTime, Double, Integer, String, Table, select

from config import EarshotError
from queries.engine import one_at_a_time
from queries.state.actions import COMPANY
from queries.state.tables import STAFF, state

table: Final = Table(
    "guess",
    state,
    Column("person", String, primary_key=True, info=STAFF),
    Column("month", Date, primary_key=True),
    Column("review", String, primary_key=True),
    Column("metric", String, primary_key=True),
    Column("scope", String, nullable=False),
    Column("guessed", Double),
    Column("value", Double, nullable=False),
    Column("low", Double),
    Column("high", Double),
    Column("generation", Integer, nullable=False),
    Column("at", DateTime, nullable=False),
)


class GuessError(EarshotError):
    """A guess that cannot be recorded, or figures that are not shown before one is."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What one person expected of one figure, and the figure that they were then shown. In the metric's unit.

    Args:
        person: who guessed.
        month: the month of the figure.
        review: its vertical, or COMPANY for all that the person may see.
        metric: the figure's metric.
        scope: what the person might see of it, as text.
        guessed: what was expected; None where the person could not say.
        value: the figure that was shown, with its interval.
        low: the interval's lower end, where there is one.
        high: the upper one.
        generation: the generation that the figure is of.
        at: when it was guessed, naive UTC.
    """

    person: str
    month: date
    review: str
    metric: str
    scope: str
    guessed: float | None
    value: float
    low: float | None
    high: float | None
    generation: int
    at: datetime

    @property
    def is_inside(self) -> bool:
        """Whether the guess lies within the figure's interval."""
        if self.guessed is None or self.low is None or self.high is None:
            return False
        return self.low <= self.guessed <= self.high


def read_guesses(conn: Connection, person: str) -> tuple[Guess, ...]:
    """All that a person guessed, the newest month first; those of one review as they were recorded."""
    query = select(table).where(table.c.person == person).order_by(table.c.month.desc(), table.c.review, table.c.metric)
    return tuple(Guess(*row) for row in conn.execute(query))


def was_shown(guesses: Sequence[Guess], month: date, review: str) -> bool:
    """Whether a person has seen a review's figures, by what they have guessed so far.

    A review shows the months before its own as well, and the company's shows every vertical.
    """
    return any(guess.month >= month and guess.review in {COMPANY, review} for guess in guesses)


def record_guesses(conn: Connection, guesses: Sequence[Guess]) -> None:
    """Keep one person's guesses of one review, all of them at once.

    Raises:
        GuessError: none says anything, or the person has seen the figures.
    """
    if all(guess.guessed is None for guess in guesses):
        raise GuessError("enter at least one guess; what you cannot say may stay empty")
    first = guesses[0]
    # Whoever guesses in two windows at once is believed in one of them.
    one_at_a_time(conn, f"earshot guess {first.person}")
    if was_shown(read_guesses(conn, first.person), first.month, first.review):
        raise GuessError("you have guessed already and seen the figures; a guess is not changed afterwards")
    conn.execute(
        table.insert(), [{field.name: getattr(guess, field.name) for field in fields(guess)} for guess in guesses]
    )
