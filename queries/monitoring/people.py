"""Who the rows of a figure about people are from, and which accounts are too few people for their part to be told."""

from collections.abc import Collection, Iterator
from datetime import date, datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, String, Subquery, func, select, true

from config.models import Privacy
from queries.metrics import about_people
from queries.monitoring.asked_rows import Question, asked, day_of_row
from queries.warehouse import COLUMNS, EVERYTHING, UNKNOWN, Scope, relation

Who = tuple[str | None, str | None]
"""Of a row its account and its person."""

_ACCOUNT: Final = "account_id"


def people_by_day(
    conn: Connection, question: Question, columns: Collection[str], privacy: Privacy, as_of: datetime
) -> Iterator[tuple[date, tuple[str, ...], Who]]:
    """The days, oldest first, and the values of the columns, with whoever has rows there and needs protection.

    Nobody does where the metric is not about people.
    """
    if not about_people(question.metric):
        return
    day, (rows, chosen) = day_of_row(question.metric), _protected(question, EVERYTHING, privacy, as_of, {*columns})
    values = [func.coalesce(rows.c[name].cast(String), UNKNOWN) for name in columns]
    query = select(rows.c[day], rows.c[_ACCOUNT], rows.c.person_id, *values).where(chosen).distinct()
    for on, account, person, *of in conn.execute(query.order_by(rows.c[day])):
        yield on, tuple(of), (account, person)


def how_many(who: Collection[Who]) -> int:
    """How many people these are at least: an account has somebody, whom rows need not name."""
    return max(len({account for account, _ in who} - {None}), len({person for _, person in who} - {None}))


def private_accounts(conn: Connection, question: Question, scope: Scope, as_of: datetime) -> frozenset[str]:
    """The accounts whose part in a figure is from too few people for a reader, or would tell such a part."""
    if scope.privacy is None or not about_people(question.metric):
        return frozenset()
    rows, chosen = _protected(question, scope, scope.privacy, as_of, set())
    query = select(rows.c[_ACCOUNT], func.count(rows.c.person_id.distinct())).where(chosen).group_by(rows.c[_ACCOUNT])
    people = sorted((max(persons, 1), account) for account, persons in conn.execute(query))
    private, least = [one for one in people if one[0] < scope.privacy.people], scope.privacy.people
    if private and sum(persons for persons, _ in private) < least:
        # The total less the others would be theirs: the next larger account is left out with them.
        private = people[: len(private) + 1]
    return frozenset(account for _, account in private)


def may_quote(conn: Connection, account: str, instrument: str | None, scope: Scope, as_of: datetime) -> bool:
    """Whether so many people of an account have written something in a survey that a reader may have their words."""
    privacy = scope.privacy
    if privacy is None or instrument in privacy.exempt:
        return True
    rows = relation("response", as_of, (_ACCOUNT, "person_id", "instrument", "comment"))
    mine = rows.c[_ACCOUNT] == account, func.coalesce(rows.c.instrument, "") == (instrument or "")
    query = select(func.count(rows.c.person_id.distinct())).where(*mine, rows.c.comment.is_not(None))
    writers: int = conn.execute(query).scalar_one()
    return writers >= privacy.comments


def _protected(
    question: Question, scope: Scope, privacy: Privacy, as_of: datetime, columns: set[str]
) -> tuple[Subquery, ColumnElement[bool]]:
    """The rows of a question, and which of them come from people who need protection."""
    metric, instrument = question.metric, {"instrument"} & COLUMNS[question.metric.table]
    rows, chosen = asked(question, scope, as_of, {_ACCOUNT, "person_id", *instrument, *columns})
    known = rows.c[metric.value].is_not(None) if metric.value else true()
    named = func.coalesce(rows.c.instrument, "").not_in(privacy.exempt) if instrument else true()
    return rows, chosen & known & named
