"""The engine's bare limit: DuckDB creates the same tables, rollups and journey table from the same Parquet, unchecked.

Run as `python -m tests.benchmarks.bare_load SAMPLE_DIR FILE`.
"""

import sys
from pathlib import Path

import duckdb

DAYS = {
    "journey": "cast(started_at as date) as day, cast(promised_at as date) as promised_day, "
    "cast(ended_at as date) as ended_day",
    "contact": "cast(occurred_at as date) as day",
    "response": "cast(invited_at as date) as day, cast(responded_at as date) as responded_day",
    "defect": "cast(occurred_at as date) as day",
}

JOURNEYS = """
create table journey_fact as
with steps as (
    select source, journey_id, occurred_at, direction, channel, emotion,
           lag(occurred_at) over w as before, lag(direction) over w as before_direction
    from contact where journey_id is not null
    window w as (partition by source, journey_id order by occurred_at, id)
), paths as (
    select s.source, s.journey_id, count(*)::int as contacts, count(*) filter (direction = 'in')::int as inbound,
           count(distinct channel)::int as channels, count(distinct channel) > 1 as multi_channel,
           sum(epoch(occurred_at) - epoch(before)) filter (before_direction = 'in') / 3600 as hours_waiting_on_us,
           sum(epoch(occurred_at) - epoch(before)) filter (before_direction = 'out') / 3600
               as hours_waiting_on_customer,
           arg_max(emotion, occurred_at) as last_emotion, min(emotion) as worst_emotion
    from steps s join journey j on j.source = s.source and j.id = s.journey_id
    where j.ended_at is null or s.occurred_at <= j.ended_at
    group by all
), faults as (
    select d.source, d.journey_id, count(*)::int as defects
    from defect d join journey j on j.source = d.source and j.id = d.journey_id
    where j.ended_at is null or d.occurred_at <= j.ended_at + interval 14 day
    group by all
)
select j.source, j.id, j.account_id, j.journey_type, j.vertical, j.product, j.region, j.started_at, j.promised_at,
       j.ended_at, j.outcome, j.day, j.promised_day, j.ended_day, j.ended_at <= j.promised_at as kept,
       (epoch(j.ended_at) - epoch(j.started_at)) / 86400 as days, p.* exclude (source, journey_id),
       coalesce(f.defects, 0) as defects, coalesce(f.defects, 0) > 0 as defective
from journey j
left join paths p on p.source = j.source and p.journey_id = j.id
left join faults f on f.source = j.source and f.journey_id = j.id
"""

ROLLUPS = {
    "roll_contact": ("contact", "day, vertical, touchpoint, channel, direction"),
    "roll_emotion": ("contact", "day, vertical, touchpoint, emotion, context_seen"),
    "roll_response": ("response", "responded_day, vertical, touchpoint, instrument, kind, scale, score, expectation"),
    "roll_invitation": ("response", "day, vertical, touchpoint, instrument, kind, status"),
    "roll_journey": (
        "journey_fact",
        "ended_day, vertical, journey_type, outcome, kept, multi_channel, defective, defects, contacts",
    ),
    "roll_journey_due": (
        "journey_fact",
        "promised_day, vertical, journey_type, coalesce(kept, false) as kept_when_due",
    ),
    "roll_defect": ("defect", "day, vertical, touchpoint, code, severity"),
}


def create(sample: Path, file: Path) -> None:
    """Make every table in one file and checkpoint it."""
    with duckdb.connect(str(file), config={"memory_limit": "1GB"}) as conn:
        for parquet in sorted(sample.glob("*.parquet")):
            days = f", {DAYS[parquet.stem]}" if parquet.stem in DAYS else ""
            conn.execute(
                f"create table {parquet.stem} as select 'sample' as source, *{days}, "
                f"now()::timestamp as first_loaded_at, now()::timestamp as loaded_at from '{parquet}'"
            )
        conn.execute(JOURNEYS)
        for name, (table, columns) in ROLLUPS.items():
            conn.execute(f"create table {name} as select {columns}, count(*) as c from {table} group by all")
        conn.execute("checkpoint")


if __name__ == "__main__":
    create(Path(sys.argv[1]), Path(sys.argv[2]))
