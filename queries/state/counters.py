"""What happened, and how often since the state was made: counted in the transaction in which it happens."""

from sqlalchemy import Connection, select, text, update

from queries.state.tables import counter

FOUND = "found_again"
"""Messages that an earlier attempt had sent already: each would have been a duplicate."""

LIMITED = "rate_limited"
"""Calls that Slack put off (429)."""

FAILED = "ticks_failed"
"""Ticks that ended in an error."""

_MISSING = text("insert into counter (name, n) values (:name, 0) on conflict do nothing")


def increment(conn: Connection, name: str, by: int = 1) -> None:
    """Count something."""
    if not by:
        return
    mine = update(counter).where(counter.c.name == name).values(n=counter.c.n + by)
    # Nearly always the row is there. Where it is not, two processes may make it at once: the row begins at 0, so that
    # neither loses what the other counted.
    if conn.execute(mine).rowcount == 0:
        conn.execute(_MISSING, {"name": name})
        conn.execute(mine)


def read_counters(conn: Connection) -> dict[str, int]:
    """Every counter that ever counted."""
    return {row.name: row.n for row in conn.execute(select(counter))}
