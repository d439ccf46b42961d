"""The sample holds what tests/sample/planted.toml says, computed here from the files alone."""

import hashlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyarrow import parquet

from queries.sample import FEWEST, generate, journeys, planted_actions
from queries.warehouse import CANONICAL, SCALES

ROOT = Path(__file__).resolve().parents[2]
PLANTED = tomllib.loads((ROOT / "tests" / "sample" / "planted.toml").read_text(encoding="utf-8"))
ENDS = (
    date(2026, 11, 21),
    date(2024, 3, 1),  # no partial month, after a 29 February
    date(2025, 12, 31),  # the longest partial month
)
TABLES = tuple(table.name for table in CANONICAL)


@dataclass(frozen=True, slots=True)
class Sample:
    end: date
    folder: Path
    conn: duckdb.DuckDBPyConnection

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.conn.execute(sql).fetchall()

    def value(self, sql: str) -> Any:
        return self.rows(sql)[0][0]

    def month(self, offset: int) -> date:
        month = self.end.replace(day=1)
        for _ in range(-offset):
            month = (month - timedelta(days=1)).replace(day=1)
        return month


def opened(folder: Path, end: date) -> Sample:
    conn = duckdb.connect()
    for name in TABLES:
        conn.execute(f"create view {name} as from '{folder / name}.parquet'")
    conn.execute("""
        create table done as
        with bad as (select distinct journey_id from defect),
        path as (select journey_id, count(*) contacts, count(distinct channel) > 1 multi from contact group by 1),
        answer as (
            select journey_id, score >= 4 good from response
            where touchpoint is null and scale = 'csat' and status = 'answered'
        ),
        key as (select journey_id, min(occurred_at) moment from contact where touchpoint in
            ('installation', 'repair', 'account setup', 'offer') group by 1)
        select j.*, bad.journey_id is not null bad, contacts, multi, good, key.moment decided,
            ended_at <= promised_at kept
        from journey j left join bad on bad.journey_id = j.id left join path on path.journey_id = j.id
        left join answer on answer.journey_id = j.id left join key on key.journey_id = j.id
        where ended_at is not null""")
    return Sample(end, folder, conn)


@pytest.fixture(scope="module", params=ENDS, ids=str)
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    folder = tmp_path_factory.mktemp("sample")
    generate(folder, end=request.param)
    made = opened(folder, request.param)
    yield made
    made.conn.close()


def within(value: float, bounds: dict[str, float]) -> bool:
    return bounds["low"] <= value <= bounds["high"]


def unit(plant: dict[str, Any]) -> str:
    return f"vertical = '{plant['vertical']}' and journey_type = '{plant['journey_type']}'"


def test_files_are_the_canonical_tables(sample: Sample) -> None:
    assert {path.name for path in sample.folder.iterdir()} == {f"{name}.parquet" for name in TABLES}
    for table in CANONICAL:
        wanted = [column.name for column in table.columns if not column.info.get("made")]
        assert parquet.read_schema(sample.folder / f"{table.name}.parquet").names == wanted


def test_types_are_the_canonical_ones(sample: Sample) -> None:
    kinds = {
        "VARCHAR": "VARCHAR",
        "DATETIME": "TIMESTAMP",
        "DATE": "DATE",
        "FLOAT": "DOUBLE",
        "DOUBLE": "DOUBLE",
        "SMALLINT": "SMALLINT",
        "BOOLEAN": "BOOLEAN",
    }
    for table in CANONICAL:
        found = {row[0]: row[1] for row in sample.rows(f"describe {table.name}")}
        assert {name: found[name] for name in found} == {name: kinds[str(table.c[name].type)] for name in found}


def test_keys_are_unique_and_whole(sample: Sample) -> None:
    for table in CANONICAL:
        keys = ", ".join(column.name for column in table.primary_key.columns if not column.info.get("made"))
        assert (
            sample.value(f"select count(*) from (select {keys} from {table.name} group by all having count(*) > 1)")
            == 0
        )
        for column in table.columns:
            if not column.nullable and not column.info.get("made"):
                assert sample.value(f"select count(*) from {table.name} where {column.name} is null") == 0


def test_no_reference_is_broken(sample: Sample) -> None:
    parents = {"account": "account_id", "person": "person_id", "journey": "id"}
    for table in CANONICAL:
        for column in table.columns:
            if parent := column.info.get("refers"):
                lost = f"{column.name} not in (select {parents[parent]} from {parent})"
                assert sample.value(f"select count(*) from {table.name} where {lost}") == 0, (table.name, column.name)


def test_values_lie_in_their_domains(sample: Sample) -> None:
    for table in CANONICAL:
        for column in table.columns:
            if domain := column.info.get("domain"):
                found = {row[0] for row in sample.rows(f"select distinct {column.name} from {table.name}")}
                assert found - {None} <= set(domain)
            if between := column.info.get("between"):
                outside = f"{column.name} not between {between[0]} and {between[1]}"
                assert sample.value(f"select count(*) from {table.name} where {outside}") == 0
    for scale, (low, high) in SCALES.items():
        found = {row[0] for row in sample.rows(f"select distinct score from response where scale = '{scale}'")}
        assert found - {None} == set(range(low, high + 1))


@pytest.mark.parametrize(
    "impossible",
    [
        "contact where occurred_at >= '{end}' or answered_at >= '{end}' or recorded_at >= '{end}'",
        "contact where recorded_at < occurred_at or answered_at < occurred_at",
        "contact where direction = 'out' and answered_at is not null",
        "contact where emotion > 0 and (touchpoint in ('fault report', 'complaint') or id like 'B%')",
        "contact c join journey j on c.journey_id = j.id where c.occurred_at < started_at or c.occurred_at > ended_at",
        "contact c join journey j on c.journey_id = j.id where c.account_id <> j.account_id",
        "contact c join person p using (person_id) where c.account_id <> p.account_id",
        "journey where started_at >= '{end}' or ended_at >= '{end}' or recorded_at >= '{end}' or ended_at < '{first}'",
        "journey where recorded_at < started_at or ended_at < started_at or promised_at <= started_at",
        "journey where (ended_at is null) <> (outcome = 'open')",
        "response where invited_at >= '{end}' or responded_at >= '{end}' or recorded_at >= '{end}'",
        "response where responded_at < invited_at or recorded_at < invited_at",
        "response where (status = 'answered') <> (score is not null) or (responded_at is null) <> (score is null)",
        "response r join journey j on r.journey_id = j.id where r.touchpoint is null and invited_at < ended_at",
        "response r join journey j on r.journey_id = j.id where invited_at < started_at",
        "response r join person p using (person_id) where p.opted_out or r.account_id <> p.account_id",
        "defect where occurred_at >= '{end}' or resolved_at >= '{end}' or recorded_at >= '{end}'",
        "defect where recorded_at < occurred_at or resolved_at < occurred_at",
        "defect d join journey j on d.journey_id = j.id where d.occurred_at < started_at or d.occurred_at > ended_at",
        "revenue where month >= '{month}' or recorded_at >= '{end}'",
        "person join account using (account_id) where active_from > '{first}' or active_from < since",
        "account_history join account using (account_id) where valid_from < since or valid_to <= valid_from",
    ],
)
def test_nothing_is_impossible(sample: Sample, impossible: str) -> None:
    where = impossible.format(end=sample.end, first=sample.month(-24), month=sample.month(0))
    assert sample.value(f"select count(*) from {where}") == 0


def test_sizes(sample: Sample) -> None:
    counts = {name: sample.value(f"select count(*) from {name}") for name in TABLES}
    assert counts["account"] == 480
    assert abs(counts["contact"] - 200_000) < 10_000
    assert abs(counts["response"] - 40_000) < 4_000
    months = sample.rows("select date_trunc('month', occurred_at)::date, count(*) from contact group by 1")
    full = [count for month, count in months if sample.month(-24) <= month < sample.month(0)]
    assert len(full) == 24
    assert min(full) > 0.80 * max(full)
    assert 0 < sample.value("select count(*) from journey where outcome = 'open'") < 0.05 * counts["journey"]


def test_journeys_have_three_to_eight_contacts_and_several_in_every_type(sample: Sample) -> None:
    settled = f"ended_at < timestamp '{sample.end}' - interval 14 day"
    found = sample.rows(f"select journey_type, min(contacts), max(contacts) from done where {settled} group by 1")
    assert sorted(found) == [(kind, 3, 8) for kind in ("installation", "onboarding", "renewal", "repair")]
    assert sample.value("select count(distinct comment) from response") >= 40


def test_revenue_is_skewed_and_in_one_currency(sample: Sample) -> None:
    amounts = [row[0] for row in sample.rows("select sum(amount) from revenue group by account_id order by 1 desc")]
    assert 0.4 < sum(amounts[:48]) / sum(amounts) < 0.75
    assert sample.rows("select distinct currency from revenue") == sample.rows("select distinct currency from fx_rate")
    assert sample.value("select count(*) from revenue r anti join fx_rate f using (currency, month)") == 0


def test_base_rates(sample: Sample) -> None:
    base, without = PLANTED["base"], f"not ({unit(PLANTED['action_that_works'])})"
    spared = f"vertical not in ('Commercial Banking', 'Wealth') and invited_at < '{sample.month(-4)}'"
    assert within(
        sample.value("select avg((score >= 9)::int - (score <= 6)::int) from response where scale = 'nps'"), base["nps"]
    )
    assert within(
        sample.value(f"select avg((score >= 4)::int) from response where scale = 'csat' and {spared}"), base["csat"]
    )
    assert within(sample.value("select avg((score >= 5)::int) from response where scale = 'ces'"), base["ces"])
    assert within(sample.value("select avg(kept::int) from done"), base["promise_kept"])
    changing = ("Commercial Banking", "Lending", *PLANTED["defects_fall"]["verticals"])
    calm = f"{without} and vertical not in {changing}"
    assert within(sample.value(f"select avg(bad::int) from done where {calm}"), base["defect_rate"])
    days = "median(epoch(ended_at - started_at)) / 86400"
    assert within(
        sample.value(f"select {days} from done where journey_type = 'installation'"), base["installation_days"]
    )


def test_installation_break(sample: Sample) -> None:
    plant = PLANTED["installation_break"]
    since = sample.month(plant["since"])
    for measure, before, after in (
        ("bad", plant["defect_rate_before"], plant["defect_rate"]),
        ("good", plant["journey_csat_before"], plant["journey_csat"]),
    ):
        share = f"select avg({measure}::int) from done where {unit(plant)}"
        assert within(sample.value(f"{share} and decided < '{since}'"), before)
        assert within(sample.value(f"{share} and decided >= '{since}'"), after)
    eve, after = sample.month(plant["since"] - 1), sample.month(plant["since"] + 1)
    share = f"select avg(bad::int) from done where {unit(plant)}"
    rise = f"({share} and decided >= '{since}' and decided < '{after}')"
    assert sample.value(f"select {rise} - ({share} and decided >= '{eve}' and decided < '{since}')") > 0.1


def test_most_of_the_break_is_one_crew_and_one_fault(sample: Sample) -> None:
    plant = PLANTED["installation_break"]
    since = sample.month(plant["since"])
    place = f"vertical = '{plant['vertical']}' and touchpoint = '{plant['touchpoint']}'"
    visits = f"""with visit as (
            select d.vertical, touchpoint, code, team, d.occurred_at,
                row_number() over (partition by d.id order by c.occurred_at desc) = 1 is_last
            from defect d join contact c using (journey_id, touchpoint) where c.occurred_at <= d.occurred_at)
        select avg((team = '{plant["team"]}' and code = '{plant["code"]}')::int) from visit where is_last and {place}"""
    assert within(sample.value(f"{visits} and occurred_at >= '{since}'"), plant["of_defects"])
    assert within(sample.value(f"{visits} and occurred_at < '{since}'"), plant["of_defects_before"])
    made = f"select avg((team = '{plant['team']}')::int) from contact where {place} and occurred_at"
    assert within(sample.value(f"{made} >= '{since}'"), plant["of_installations"])
    assert within(sample.value(f"{made} < '{since}'"), plant["of_installations"])


def test_journey_fails_while_every_touchpoint_is_good(sample: Sample) -> None:
    plant = PLANTED["failing_journey"]
    touchpoints = sample.rows(f"""
        select r.touchpoint, avg((score >= 4)::int), count(*) from response r join journey j on r.journey_id = j.id
        where j.{unit(plant)} and r.touchpoint is not null and score is not null group by 1""")
    assert len(touchpoints) == 8
    assert all(within(share, plant["touchpoint_csat"]) for _, share, n in touchpoints if n >= 30)
    assert sum(n >= 30 for _, _, n in touchpoints) >= 6
    assert within(sample.value(f"select avg(good::int) from done where {unit(plant)}"), plant["journey_csat"])
    reached = "select avg((outcome = 'reached')::int) from done"
    assert within(sample.value(f"{reached} where {unit(plant)}"), plant["goal_reached"])
    assert within(sample.value(f"{reached} where not ({unit(plant)})"), plant["goal_reached_elsewhere"])


def test_multi_channel_is_worse_except_where_nothing_happens(sample: Sample) -> None:
    plant, null = PLANTED["channel_gap"], PLANTED["null"]["vertical"]
    for measure, bounds in (("(outcome = 'reached')", plant["goal_reached"]), ("good", plant["journey_csat"])):
        gap = f"avg({measure}::int) filter (where multi) - avg({measure}::int) filter (where not multi)"
        assert within(sample.value(f"select {gap} from done where vertical <> '{null}'"), bounds)
        assert abs(sample.value(f"select {gap} from done where vertical = '{null}'")) < 0.06
    assert 0.3 < sample.value("select avg(multi::int) from done") < 0.6


def test_quiet_account(sample: Sample) -> None:
    plant = PLANTED["quiet_account"]
    mine = f"account_id = '{plant['account_id']}'"
    assert sample.value(f"select last(vertical) from account_history where {mine}") == plant["vertical"]
    wanes, silent, moves = (sample.month(plant[name]) for name in ("wanes", "silent", "score_moves"))
    wallet = f"select avg(share_of_wallet) from revenue where {mine}"
    assert within(sample.value(f"{wallet} and month < '{wanes}'"), plant["share_of_wallet_before"])
    assert within(sample.value(f"{wallet} and month >= '{silent}'"), plant["share_of_wallet_after"])
    a_day = f"count(*) / count(distinct occurred_at::date) from contact where {mine}"
    assert sample.value(f"select {a_day} and occurred_at < '{wanes}'") > 1
    assert sample.value(f"select count(*) from contact where {mine} and occurred_at >= '{silent}'") == 0
    scores = f"from response where {mine} and scale = 'nps' and responded_at"
    since = sample.month(-12)
    assert sample.value(f"select min(score) {scores} >= '{since}' and responded_at < '{moves}'") >= 8
    assert sample.value(f"select max(score) {scores} >= '{moves}'") <= 6


def test_key_account_detractor(sample: Sample) -> None:
    plant = PLANTED["key_account_detractor"]
    largest = "select account_id, tier, vertical from account_history order by annual_revenue desc limit 1"
    assert sample.rows(largest) == [(plant["account_id"], "key", plant["vertical"])]
    month, until = sample.month(plant["month"]), sample.month(plant["month"] + 1)
    found = sample.rows(f"""
        select score, comment is not null from response r join person p using (person_id)
        where r.account_id = '{plant["account_id"]}' and role = '{plant["role"]}' and scale = 'nps' and score <= 3
        and responded_at >= '{month}' and responded_at < '{until}'""")
    assert (plant["score"], True) in found


def test_large_account_near_at_risk(sample: Sample) -> None:
    plant = PLANTED["near_at_risk"]
    mine, since = f"account_id = '{plant['account_id']}'", sample.month(plant["since"])
    answers = f"from response where {mine} and scale = 'nps' and score is not null and responded_at >= '{since}'"
    assert sample.value(f"select count(*) {answers}") == plant["answers"]
    assert sample.value(f"select avg((score >= 9)::int - (score <= 6)::int) {answers}") == plant["nps"]
    wallet = f"select avg(share_of_wallet) from revenue where {mine} and month >= '{since}'"
    assert within(sample.value(wallet), plant["share_of_wallet"])
    rank = "select rank() over (order by annual_revenue desc) r, account_id from account_history where valid_to is null"
    assert sample.value(f"select r from ({rank}) where {mine}") <= 10


def test_action_that_works(sample: Sample) -> None:
    plant = PLANTED["action_that_works"]
    start, months = plant["start"], plant["period"]
    shares = []
    for offset in (start - months, start):
        period = f"ended_at >= '{sample.month(offset)}' and ended_at < '{sample.month(offset + months)}'"
        n, share = sample.rows(f"select count(*), avg(bad::int) from done where {unit(plant)} and {period}")[0]
        assert n >= plant["cases"]
        shares.append(share)
    before, after = shares
    assert within(before, plant["before"])
    assert abs(1 - after / before - plant["cut"]) < 0.07


def test_action_without_effect(sample: Sample) -> None:
    plant = PLANTED["action_without_effect"]
    bad, back = sample.month(plant["worst_month"]), sample.month(plant["worst_month"] + 1)
    worst = sample.rows(f"""
        select vertical, journey_type, avg(bad::int) from done where decided >= '{bad}' and decided < '{back}'
        group by all having count(*) >= 10 order by 3 desc limit 1""")[0]
    assert worst[:2] == (plant["vertical"], plant["journey_type"])
    assert within(worst[2], plant["worst"])
    for period in (f"decided < '{bad}'", f"decided >= '{back}'"):
        assert within(sample.value(f"select avg(bad::int) from done where {unit(plant)} and {period}"), plant["level"])


def test_external_condition(sample: Sample) -> None:
    plant = PLANTED["condition"]
    begin, until = (sample.month(plant["month"]) + timedelta(days=days) for days in plant["days"])
    columns = "kind, verticals, touchpoints, starts_at::date, ends_at::date"
    row = sample.rows(f"select {columns} from condition where name = '{plant['name']}'")
    assert row == [(plant["kind"], plant["vertical"], plant["touchpoint"], begin, until)]
    share = f"select avg(kept::int) from done where vertical = '{plant['vertical']}'"
    under = f"started_at >= '{begin}' and started_at < '{until}'"
    assert within(sample.value(f"{share} and {under}"), plant["promise_kept"])
    assert within(sample.value(f"{share} and not ({under})"), PLANTED["base"]["promise_kept"])


def test_change_in_who_is_invited(sample: Sample) -> None:
    plant = PLANTED["invitations"]
    since = sample.month(plant["since"])
    share = f"""select avg((role = 'decision-maker')::int) from response r join person p using (person_id)
        where r.vertical = '{plant["vertical"]}' and r.id not like 'Q%' and invited_at"""
    assert within(sample.value(f"{share} < '{since}'"), plant["decision_makers_before"])
    assert within(sample.value(f"{share} >= '{since}'"), plant["decision_makers"])
    users = f"""select avg((score >= 4)::int) from response r join person p using (person_id)
        where r.vertical = '{plant["vertical"]}' and role = 'user' and scale = 'csat' and invited_at"""
    assert abs(sample.value(f"{users} >= '{since}'") - sample.value(f"{users} < '{since}'")) < 0.05


def test_expectations_are_missed_in_one_vertical(sample: Sample) -> None:
    plant = PLANTED["expectation_gap"]
    gap = """select avg((expectation = 'below')::int) - avg((expectation = 'above')::int) from response
        where expectation is not null and id not like 'Q%' and vertical"""
    assert within(sample.value(f"{gap} = '{plant['vertical']}'"), plant["gap"])
    assert within(sample.value(f"{gap} <> '{plant['vertical']}'"), plant["gap_elsewhere"])


def test_staff_of_one_vertical_see_less_of_what_was_sent(sample: Sample) -> None:
    plant = PLANTED["unprepared"]
    seen = "select avg(context_seen::int) from contact where context_seen is not null and vertical"
    assert within(sample.value(f"{seen} = '{plant['vertical']}'"), plant["seen"])
    assert within(sample.value(f"{seen} <> '{plant['vertical']}'"), plant["seen_elsewhere"])


def test_some_journeys_go_back_to_a_touchpoint(sample: Sample) -> None:
    plant = PLANTED["loops"]
    twice = f"""select avg((times = 2)::int), max(times) from (
        select journey_id, count(*) contacts, count(*) filter (c.touchpoint = '{plant["touchpoint"]}') times
        from contact c join done d on d.id = c.journey_id
        where d.journey_type = 'onboarding' and d.vertical {{}} ({", ".join(f"'{name}'" for name in plant["none"])})
        group by 1) where contacts >= 5"""
    ((share, most),) = sample.rows(twice.format("not in"))
    assert within(share, plant["share"])
    assert most == 2
    assert sample.rows(twice.format("in")) == [(0.0, 1)]


def test_one_survey_has_old_questions(sample: Sample) -> None:
    plant = PLANTED["stale_wording"]
    old = f"select instrument from instrument where wording_changed_at < date '{sample.end}' - {plant['days']}"
    assert sample.rows(old) == [(plant["instrument"],)]


def test_publication_lag(sample: Sample) -> None:
    plant = PLANTED["lag"]
    for table, event in (("contact", "occurred_at"), ("response", "invited_at"), ("defect", "occurred_at")):
        late = f"epoch(recorded_at - {event}) / 86400"
        assert sample.value(f"select max({late}) from {table}") < plant["days"]
        assert 0.05 < sample.value(f"select avg(({late} > 1)::int) from {table}") < 0.6
    # The last business day and the same weekday three to ten weeks before, so that the week's rhythm drops out.
    day = sample.end - timedelta(days=1)
    while day.weekday() >= 5:
        day -= timedelta(days=1)
    count = "select count(*) from contact where occurred_at::date"
    earlier = [sample.value(f"{count} = '{day - timedelta(weeks=weeks)}'") for weeks in range(3, 11)]
    assert within(1 - sample.value(f"{count} = '{day}'") / (sum(earlier) / 8), plant["missing_last_day"])


def test_null_vertical_has_no_event_to_report(sample: Sample) -> None:
    null = PLANTED["null"]
    vertical = null["vertical"]
    assert sample.value(f"select count(*) from account_history where vertical = '{vertical}' and tier = 'key'") == 0
    assert sample.value(f"select count(*) from condition where verticals like '%{vertical}%'") == 0
    old = f"occurred_at < timestamp '{sample.end}' - interval 7 day"
    silent = f"vertical = '{vertical}' and direction = 'in' and answered_at is null and {old}"
    assert sample.value(f"select count(*) from contact where {silent}") == 0
    again = f"""select count(*) from (
        select distinct account_id, issue_code, id, started_at from journey j join
        (select journey_id, any_value(issue_code) issue_code from contact group by 1) c on c.journey_id = j.id
        where vertical = '{vertical}' and journey_type = 'repair') a
        join (select distinct account_id, issue_code, journey_id id, min(occurred_at) moment from contact
        where journey_id is not null group by all) b using (account_id, issue_code)
        where b.moment > a.started_at and b.moment < a.started_at + interval 30 day and b.id <> a.id"""
    assert sample.value(again) <= 1


def test_null_vertical_is_steady(sample: Sample) -> None:
    """Months of the null vertical vary as coin tosses do (chi square, limit at about 1 in 2,000)."""
    vertical = PLANTED["null"]["vertical"]
    full = f"vertical = '{vertical}' and ended_at < '{sample.month(0)}'"
    for measure in ("bad", "kept", "(outcome = 'reached')", "good"):
        counts = sample.rows(f"""select count({measure}), sum({measure}::int) from done where {full}
            group by date_trunc('month', ended_at)""")
        share = sum(hits for _, hits in counts) / sum(n for n, _ in counts)
        assert sum((hits - n * share) ** 2 / (n * share * (1 - share)) for n, hits in counts) < 52
    volume = sample.rows(f"select count(*) from done where {full} group by date_trunc('month', ended_at)")
    assert all(within(count, PLANTED["null"]["journeys_a_month"]) for (count,) in volume)


def test_repeats_are_there_elsewhere(sample: Sample) -> None:
    back = sample.value(
        "select count(*) from contact where issue_code is not null and journey_id is null and id like 'B%'"
    )
    assert back > 500
    again = """select count(*) from (select account_id, issue_code, count(distinct journey_id) n from contact
        where journey_id is not null and issue_code is not null group by all) where n > 1"""
    assert sample.value(again) > 200


def test_actions_start_with_a_full_month_and_are_the_planted_ones() -> None:
    for end in ENDS:
        found = planted_actions(end)
        for action, name in zip(found, ("action_that_works", "action_without_effect"), strict=True):
            plant = PLANTED[name]
            assert (action.vertical, action.touchpoint, action.metric) == (
                plant["vertical"],
                plant["touchpoint"],
                plant["metric"],
            )
            assert action.start.day == 1
            assert action.start < action.done < action.due <= end
            assert (end.year - action.start.year) * 12 + end.month - action.start.month == -plant["start"]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(tmp_path / name, end=ENDS[0], seed=seed, contacts=20_000)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    differing = {name for name, digest in digests(tmp_path / "a").items() if digests(tmp_path / "c")[name] != digest}
    assert {"contact.parquet", "journey.parquet", "response.parquet", "account_history.parquet"} <= differing


def test_another_end_moves_the_picture(tmp_path: Path) -> None:
    for name, end in (("a", ENDS[0]), ("b", ENDS[0] + timedelta(days=7))):
        generate(tmp_path / name, end=end, contacts=20_000)
    moved = f"""select avg((b.occurred_at - a.occurred_at = interval 7 day)::int), count(*)
        from '{tmp_path}/a/contact.parquet' a join '{tmp_path}/b/contact.parquet' b using (id)"""
    share, both = duckdb.sql(moved).fetchall()[0]
    assert both > 19_000
    assert share > 0.98


@pytest.mark.parametrize("contacts", [FEWEST, 20_000, 100_000])
def test_scales(tmp_path: Path, contacts: int) -> None:
    generate(tmp_path, end=ENDS[0], contacts=contacts)
    count = parquet.read_metadata(tmp_path / "contact.parquet").num_rows
    assert abs(count / contacts - 1) < 0.12
    assert abs(parquet.read_metadata(tmp_path / "response.parquet").num_rows / contacts - 0.2) < 0.05
    assert parquet.read_metadata(tmp_path / "account.parquet").num_rows == 480


def test_many_chunks_make_one_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journeys, "CHUNK", 1 << 11)
    generate(tmp_path, end=ENDS[0], contacts=60_000)
    made = opened(tmp_path, ENDS[0])
    for name in ("contact", "journey", "response", "defect"):
        assert made.value(f"select count(*) - count(distinct id) from {name}") == 0
    assert (
        made.value(
            "select count(*) from contact c anti join journey j on c.journey_id = j.id where journey_id is not null"
        )
        == 0
    )
    assert abs(made.value("select count(*) from contact") - 60_000) < 4_000
    made.conn.close()


@pytest.mark.parametrize(("contacts", "seed"), [(FEWEST - 1, 1), (20_000, -1)])
def test_refuses_what_makes_no_company(tmp_path: Path, contacts: int, seed: int) -> None:
    with pytest.raises(ValueError, match="at least 1000 contacts"):
        generate(tmp_path, end=ENDS[0], contacts=contacts, seed=seed)


def test_failure_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("queries.sample.journey_columns", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        generate(tmp_path, end=ENDS[0], contacts=FEWEST)
    assert list(tmp_path.iterdir()) == []


def test_source_maps_every_canonical_table(sample: Sample) -> None:
    folder = ROOT / "config" / "sources" / "sample"
    source = tomllib.loads((folder / "source.toml").read_text(encoding="utf-8"))
    assert (source["zone"], source["mode"], source["sample"], source["settle"]) == ("UTC", "snapshot", True, "14d")
    assert set(source["inputs"]) == set(TABLES) == {path.stem for path in folder.glob("*.sql")}
    for table in CANONICAL:
        assert (sample.folder / source["inputs"][table.name]["file"]).exists()
        found = sample.conn.execute((folder / f"{table.name}.sql").read_text(encoding="utf-8")).description
        assert [row[0] for row in found] == [column.name for column in table.columns if not column.info.get("made")]


def test_product_does_not_know_the_plants() -> None:
    for package in ("config", "queries", "triggers", "dashboard"):
        for path in (ROOT / package).rglob("*.py"):
            assert "planted.toml" not in path.read_text(encoding="utf-8"), path
