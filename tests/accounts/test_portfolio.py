"""The portfolio: where accounts stand, that nothing is lost between the quadrants, and who moved."""

from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import mean, stdev
from typing import Final

import duckdb
import numpy as np
import pytest
from scipy import stats

from config.models import Cutoffs, Privacy
from config.reading import read_catalog
from config.settings import CHECKOUT
from queries.accounts import (
    BOUNDARY,
    NO_SIGNAL,
    STATES,
    AccountFacts,
    Portfolio,
    moves,
    newest_month,
    portfolio_of,
    read_account_facts,
)
from queries.accounts.quadrants import PRIOR, growth, odds, scores, shares
from queries.sample import generate
from queries.warehouse import COLUMNS, EVERYTHING, Scope
from tests.sample.test_sample import PLANTED
from tests.support import handmade

UNTIL: Final = date(2026, 7, 1)
AS_OF: Final = datetime(2026, 7, 20, tzinfo=UTC)
CUTOFFS: Final = Cutoffs(score=7, share=0.5, growth=0.0, valid_from=date(2016, 1, 1))
VERTICALS: Final = ("Energy", "Retail", "Transport")
MONTHS: Final = 24
ACCOUNTS: Final = 60
NAMED: Final = "relationship-nps"


def month(back: int) -> date:
    """The first of the month so many months before UNTIL."""
    number = UNTIL.year * 12 + UNTIL.month - 1 - back
    return date(number // 12, number % 12 + 1, 1)


def company(seed: int) -> handmade.Rows:
    """Accounts with revenue, some without a share of wallet, some without answers; scores that differ by account."""
    draw = Random(seed)
    rows: handmade.Rows = {"account": [], "account_history": [], "revenue": [], "response": []}
    for number in range(ACCOUNTS):
        id_, since = f"A{number:02}", {"valid_from": date(2020, 1, 1)}
        rows["account"].append({"account_id": id_, "name": f"Company {number}"})
        rows["account_history"].append({"account_id": id_, "vertical": draw.choice(VERTICALS), **since})
        level, trend, share = 10 ** draw.uniform(3, 6), draw.uniform(-0.03, 0.03), draw.uniform(0.1, 0.95)
        has_share = number % 5 > 0
        for back in range(MONTHS, 0, -1):
            amount = level * (1 + trend * (MONTHS - back)) * draw.uniform(0.95, 1.05)
            wallet = min(1.0, share * draw.uniform(0.98, 1.02)) if has_share else None
            of_month = {"month": month(back), "amount": amount, "currency": "EUR", "share_of_wallet": wallet}
            rows["revenue"].append({"account_id": id_, **of_month, "recorded_at": datetime(2026, 7, 5)})  # noqa: DTZ001
        taste = draw.uniform(4, 9.5)
        for answer in range(0 if number in {7, 23} else draw.randint(1, 9)):
            at = datetime(2026, 6, 28) - timedelta(days=draw.randint(0, 350))  # noqa: DTZ001
            score = min(10, max(0, round(draw.gauss(taste, 1.5))))
            person = {"person_id": f"P{number}-{answer % 3}", "id": f"R{number}-{answer}", "instrument": NAMED}
            kind = {"kind": "relationship", "status": "answered", "scale": "nps", "score": score}
            rows["response"].append(
                {"account_id": id_, **person, **kind, "invited_at": at, "responded_at": at + timedelta(hours=3)}
            )
    return rows


@pytest.fixture(scope="module")
def rows() -> handmade.Rows:
    return company(4)


@pytest.fixture(scope="module")
def facts(rows: handmade.Rows, tmp_path_factory: pytest.TempPathFactory) -> AccountFacts:
    return read(tmp_path_factory.mktemp("portfolio") / "w.duckdb", rows, EVERYTHING)


def read(file: Path, rows: handmade.Rows, scope: Scope) -> AccountFacts:
    engine = handmade.warehouse(file, rows)
    try:
        with engine.connect() as conn:
            return read_account_facts(conn, scope, AS_OF, "EUR")
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def portfolio(facts: AccountFacts) -> Portfolio:
    until = newest_month(facts)
    assert until == UNTIL
    return portfolio_of(facts, CUTOFFS, until)


def test_sums_are_the_companys(rows: handmade.Rows, portfolio: Portfolio) -> None:
    bought = sum(row["amount"] for row in rows["revenue"] if row["month"] >= month(12))
    assert len(portfolio.accounts) == ACCOUNTS == sum(len(portfolio.of(state)) for state in STATES)
    assert portfolio.revenue == pytest.approx(bought)
    assert sum(one.revenue for state in STATES for one in portfolio.of(state)) == pytest.approx(bought)


def test_figures_of_an_account_are_those_of_an_independent_count(rows: handmade.Rows, portfolio: Portfolio) -> None:
    answers: dict[str, list[int]] = {}
    for row in rows["response"]:
        answers.setdefault(row["account_id"], []).append(row["score"])
    within = [(score - mean(of)) ** 2 for of in answers.values() for score in of]
    pooled = sum(within) / sum(len(of) - 1 for of in answers.values())
    for account in portfolio.accounts:
        of = answers.get(account.id, [])
        assert account.answers == len(of)
        assert (account.score is None) == (not of)
        if account.score is None:
            continue
        freedom = len(of) - 1 + PRIOR
        variance = ((len(of) - 1) * (stdev(of) ** 2 if len(of) > 1 else 0.0) + PRIOR * pooled) / freedom
        low, high = stats.t.interval(0.95, freedom, mean(of), (variance / len(of)) ** 0.5)
        assert account.score.value == pytest.approx(mean(of))
        assert (account.score.low, account.score.high) == pytest.approx((low, high))
        bought = {row["month"]: row for row in rows["revenue"] if row["account_id"] == account.id}
        newest = [bought[month(back)] for back in (3, 2, 1)]
        assert account.revenue == pytest.approx(sum(bought[month(back)]["amount"] for back in range(12, 0, -1)))
        if newest[0]["share_of_wallet"] is None:
            before = sum(bought[month(back)]["amount"] for back in (15, 14, 13))
            assert account.share is None
            assert account.growth is not None
            assert account.growth.value == pytest.approx(sum(row["amount"] for row in newest) / before - 1)
        else:
            assert account.share is not None
            assert account.share.value == pytest.approx(mean(row["share_of_wallet"] for row in newest))


def test_an_account_is_where_its_figures_are_and_on_a_boundary_where_they_do_not_say(portfolio: Portfolio) -> None:
    for account in portfolio.accounts:
        worth = account.share or account.growth
        if account.score is None or worth is None:
            assert account.state == NO_SIGNAL
            continue
        good = account.score.value >= CUTOFFS.score
        high = worth.value >= (CUTOFFS.share if account.share else CUTOFFS.growth)
        assert account.quadrant == {
            (True, True): "Model", (True, False): "Growth", (False, True): "At Risk", (False, False): "Dangling"
        }[good, high]  # fmt: skip
        # Where both intervals lie on one side, the account does: 95% each.
        is_apart = not account.score.low < CUTOFFS.score < account.score.high
        is_apart &= not worth.low < (CUTOFFS.share if account.share else CUTOFFS.growth) < worth.high
        assert not (is_apart and account.state == "boundary")
        assert (account.state == "boundary") == (account.doubt > BOUNDARY)
    assert len(portfolio.of(NO_SIGNAL)) == 2


def test_changed_cutoffs_move_no_account(tmp_path: Path) -> None:
    rows = company(9)
    # Every account stays exactly as it is: what moves could only be moved by the cut-offs.
    level = {row["account_id"]: (row["amount"], row["share_of_wallet"]) for row in rows["revenue"]}
    rows["revenue"] = [
        {**row, "amount": level[row["account_id"]][0], "share_of_wallet": level[row["account_id"]][1]}
        for row in rows["revenue"]
    ]
    first = [row for row in rows["response"] if row["id"].endswith("-0")]
    rows["response"] = [
        {**row, "id": f"{row['id']}-{year}", "invited_at": at, "responded_at": at}
        for row in first
        for year, at in enumerate((datetime(2026, 6, 1), datetime(2026, 2, 1), datetime(2025, 8, 1)))  # noqa: DTZ001
    ]
    facts = read(tmp_path / "w.duckdb", rows, EVERYTHING)
    stricter = Cutoffs(score=8, share=0.7, growth=0.0, valid_from=UNTIL)
    by_old, by_new = (portfolio_of(facts, of, UNTIL) for of in (CUTOFFS, stricter))
    assert {one.id: one.state for one in by_old.accounts} != {one.id: one.state for one in by_new.accounts}
    moved = moves(facts, by_new)
    assert sum(len(move.accounts) for move in moved) == ACCOUNTS
    placed = [move for move in moved if "boundary" not in {move.before, move.now}]
    assert placed
    assert all(move.before == move.now for move in placed)


def test_who_reads_under_the_privacy_floor_sees_only_named_surveys(rows: handmade.Rows, tmp_path: Path) -> None:
    people: dict[str, set[str]] = {}
    for row in rows["response"]:
        people.setdefault(row["account_id"], set()).add(row["person_id"])
    exempt, strict = (Scope("gm", privacy=Privacy(people=3, exempt=of)) for of in ((NAMED,), ()))
    everything = portfolio_of(read(tmp_path / "a.duckdb", rows, exempt), CUTOFFS, UNTIL)
    assert {one.id for one in everything.accounts if one.score} == people.keys()
    floored = portfolio_of(read(tmp_path / "b.duckdb", rows, strict), CUTOFFS, UNTIL)
    enough = {account for account, of in people.items() if len(of) >= 3}
    assert {one.id for one in floored.accounts if one.score} == enough
    assert enough < people.keys()


def test_a_reader_of_one_vertical_gets_its_accounts_only(rows: handmade.Rows, tmp_path: Path) -> None:
    own = {row["account_id"] for row in rows["account_history"] if row["vertical"] == "Energy"}
    found = portfolio_of(read(tmp_path / "w.duckdb", rows, Scope("gm", frozenset({"Energy"}))), CUTOFFS, UNTIL)
    assert {one.id for one in found.accounts} == own
    assert {one.vertical for one in found.accounts} == {"Energy"}


def test_an_interval_of_scores_holds_what_it_says() -> None:
    draw = np.random.default_rng(7)
    truth, spread = draw.uniform(3, 9, 4000), draw.uniform(0.8, 2.0, 4000)
    n = draw.integers(1, 12, 4000)
    held = np.array([draw.normal(m, s, k) for m, s, k in zip(truth, spread, n, strict=True)], dtype=object)
    total, squares = (np.array([float((one**power).sum()) for one in held]) for power in (1, 2))
    low, high = scores(n.astype(float), total, squares).ends()
    covered = float(((low <= truth) & (truth <= high)).mean())
    assert 0.92 < covered < 0.98


def test_an_interval_of_shares_and_growth_holds_what_it_says() -> None:
    draw = np.random.default_rng(8)
    level = draw.uniform(0.2, 0.9, 3000)
    months = level[:, None] + draw.normal(0, 0.02, (3000, 24))
    low, high = shares(months).ends()
    assert 0.91 < float(((low <= level) & (level <= high)).mean()) < 0.99
    change = draw.uniform(-0.3, 0.3, 3000)
    amounts = np.where(np.arange(24) >= 12, 1 + change[:, None], 1.0) * 1000 * draw.normal(1, 0.05, (3000, 24))
    low, high = growth(amounts).ends()
    assert 0.91 < float(((low <= change) & (change <= high)).mean()) < 0.99


def test_nothing_known_is_placed_nowhere() -> None:
    nothing = np.full((3, 24), np.nan)
    for axis in (shares(nothing), growth(nothing), scores(np.zeros(3), np.zeros(3), np.zeros(3))):
        assert np.isnan(axis.value).all()
        assert np.isnan(odds(axis.above(0.5), np.full(3, 0.9))).all()


SAMPLE_TABLES: Final = ("account", "account_history", "revenue", "fx_rate", "response")
DAY: Final = date(2026, 11, 21)


@pytest.fixture(scope="module", params=[1, 2])
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AccountFacts:
    """The sample company of two seeds: its accounts, what they buy, and what they answer about the relationship."""
    folder = tmp_path_factory.mktemp("sample")
    generate(folder, end=DAY, seed=request.param)
    made: handmade.Rows = {}
    with closing(duckdb.connect()) as files:
        for name in SAMPLE_TABLES:
            kind = " where kind = 'relationship'" if name == "response" else ""
            found = files.execute(f"select * from '{folder / name}.parquet'{kind}").to_arrow_table()
            made[name] = found.to_pylist()
    engine = handmade.warehouse(folder / "w.duckdb", made, "UTC")
    try:
        with engine.connect() as conn:
            return read_account_facts(conn, EVERYTHING, datetime(2026, 11, 21, tzinfo=UTC), "EUR")
    finally:
        engine.dispose()


def test_the_samples_portfolio_is_as_it_was_planted(sample: AccountFacts) -> None:
    until = newest_month(sample)
    assert until == date(2026, 11, 1)
    cutoffs = read_catalog(CHECKOUT / "config", COLUMNS).cutoffs(until)
    assert cutoffs is not None
    found = portfolio_of(sample, cutoffs, until)
    assert len(found.accounts) == len(sample.months.accounts) == sum(len(found.of(state)) for state in STATES)
    near = next(one for one in found.accounts if one.id == PLANTED["near_at_risk"]["account_id"])
    assert (near.state, near.is_near("At Risk")) == ("boundary", True)
    assert len(found.of(NO_SIGNAL)) == PLANTED["unheard"]["accounts"]
    sizes = {state: len(found.of(state)) for state in STATES if state != NO_SIGNAL}
    assert max(sizes, key=lambda state: sizes[state]) == "Growth"
    assert sizes["Growth"] >= PLANTED["growth"]["times"] * max(sizes[name] for name in ("Model", "At Risk", "Dangling"))
