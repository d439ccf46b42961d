"""Whether a source may come into the warehouse as it is, and by which days."""

from sqlalchemy import Connection, select, union

from config.errors import EarshotError
from config.models.sources import Source
from queries.warehouse import tables
from queries.warehouse.generations import Generation
from queries.warehouse.load_report import sample_sources


class LoadRefusedError(EarshotError):
    """The load would spoil the warehouse, and was stopped before anybody saw it."""


def sources(conn: Connection) -> frozenset[str]:
    """The sources that have rows in the warehouse."""
    every = union(*(select(table.c.source).distinct() for table in (*tables.CANONICAL, tables.quarantine)))
    return frozenset(conn.scalars(every))


def samples_to_leave(conn: Connection, source: Source, present: frozenset[str], *, replace: bool) -> frozenset[str]:
    """The samples that go before a source comes: a real source and the sample never mix, figures of both mean nothing.

    Raises:
        LoadRefusedError: the sample would join real data, or real data the sample without being told to replace it.
    """
    samples = present & sample_sources(conn)
    if source.sample:
        if real := sorted(present - samples):
            there = ", ".join(real)
            raise LoadRefusedError(
                f"the warehouse holds {there}; to see the sample, set EARSHOT_DATA to another folder"
            )
        return frozenset()
    if samples and not replace:
        raise LoadRefusedError(
            f"the warehouse holds the sample; add --replace-sample to put {source.name} in its place"
        )
    return samples


def reporting_zone(source: Source, wanted: str | None, before: Generation | None, staying: frozenset[str]) -> str:
    """The zone of the days: the setting, else that of the first source ever loaded.

    Days are made while a source is read, so another zone needs every source again.

    Raises:
        LoadRefusedError: rows that this load does not replace have the days of another zone.
    """
    zone = wanted or (before.zone if before and staying else source.zone)
    if before is None or before.zone == zone or not staying:
        return zone
    if staying == {source.name} and source.mode == "snapshot":
        return zone
    drops = " && ".join(f"python -m queries drop {name}" for name in sorted(staying))
    message = f"the warehouse's days are those of {before.zone}, not {zone}; set zone back, or {drops}, and load again"
    raise LoadRefusedError(message)
