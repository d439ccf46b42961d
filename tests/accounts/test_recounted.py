"""Twenty accounts of the sample, counted again from its files by pandas: what the page shows of them is the same."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

import pandas as pd
import pytest
from sqlalchemy import Connection

from config.reading import read_catalog
from config.settings import CHECKOUT
from queries.accounts import PROMISED, AccountStory, newest_month, portfolio_of, read_account_facts, read_story
from queries.sample import generate
from queries.warehouse import COLUMNS, EVERYTHING
from tests.support import handmade

DAY: Final = date(2026, 11, 21)
AS_OF: Final = datetime(2026, 11, 21, tzinfo=UTC)
PLAIN: Final = pd.Timestamp(DAY)
UNTIL: Final = pd.Timestamp(2026, 11, 1)
YEAR_AGO: Final = pd.Timestamp(2025, 11, 1)
TABLES: Final = ("account", "account_history", "person", "revenue", "fx_rate", "journey", "contact", "response")
ACCOUNTS: Final = 20


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """The files of a company of 20,000 contacts."""
    folder = tmp_path_factory.mktemp("sample")
    generate(folder, end=DAY, contacts=20_000, seed=3)
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}


@pytest.fixture(scope="module")
def conn(files: dict[str, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    path: Path = tmp_path_factory.mktemp("warehouse") / "w.duckdb"
    rows = {
        name: [
            {key: None if pd.isna(value) else plain(value) for key, value in row.items()}
            for row in frame.to_dict("records")
        ]
        for name, frame in files.items()
    }
    engine = handmade.warehouse(path, rows, "UTC")
    try:
        with engine.connect() as conn:
            yield conn
    finally:
        engine.dispose()


def plain(value: object) -> object:
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


@pytest.fixture(scope="module")
def chosen(files: dict[str, pd.DataFrame]) -> list[str]:
    return Random(13).sample(sorted(files["account"]["account_id"]), ACCOUNTS)


def story(conn: Connection, account: str) -> AccountStory:
    found = read_story(conn, account, EVERYTHING, AS_OF, "EUR", has_rows=True, has_verbatims=True)
    assert found is not None
    return found


def test_the_portfolio_is_that_of_the_rows(files: dict[str, pd.DataFrame], conn: Connection, chosen: list[str]) -> None:
    cutoffs = read_catalog(CHECKOUT / "config", COLUMNS).cutoffs(DAY)
    facts = read_account_facts(conn, EVERYTHING, AS_OF, "EUR")
    assert cutoffs is not None
    assert newest_month(facts) == UNTIL.date()
    placed = {one.id: one for one in portfolio_of(facts, cutoffs, UNTIL.date()).accounts}
    bought, said = files["revenue"], files["response"]
    bought = bought.assign(month=pd.to_datetime(bought["month"]))
    year = bought[(bought["month"] >= YEAR_AGO) & (bought["month"] < UNTIL)].groupby("account_id")["amount"].sum()
    newest = bought[(bought["month"] >= UNTIL - pd.DateOffset(months=3)) & (bought["month"] < UNTIL)]
    share = newest.groupby("account_id")["share_of_wallet"].mean()
    given = said[(said["kind"] == "relationship") & (said["scale"] == "nps") & said["score"].notna()]
    given = given[(given["responded_at"] >= YEAR_AGO) & (given["responded_at"] < UNTIL)]
    scores = given.groupby("account_id")["score"].agg(["mean", "count"])
    for account in chosen:
        one = placed[account]
        assert one.revenue == pytest.approx(year[account])
        assert (one.share is None) == pd.isna(share[account])
        if one.share:
            assert one.share.value == pytest.approx(share[account])
        assert one.answers == (scores["count"].get(account, 0))
        assert (one.score is None) == (account not in scores.index)
        if one.score:
            assert one.score.value == pytest.approx(scores["mean"][account])


def test_a_story_is_that_of_the_rows(files: dict[str, pd.DataFrame], conn: Connection, chosen: list[str]) -> None:
    contacts, said, bought = files["contact"], files["response"], files["revenue"]
    contacts = contacts[contacts["occurred_at"] < PLAIN]
    said = said[(said["responded_at"] < PLAIN) & said["score"].notna()]
    waits = waiting(contacts)
    assert waits.any()
    for account in chosen:
        known = story(conn, account)
        own, answers = contacts[contacts["account_id"] == account], said[said["account_id"] == account]
        assert known.contacts == len(known.moments) == len(own)
        assert known.touched_on == (own["occurred_at"].max().date() if len(own) else None)
        assert len(known.answers) == len(answers)
        assert sorted(one.score for one in known.answers) == sorted(answers["score"].astype(int))
        mine = bought[bought["account_id"] == account]
        amounts = dict(zip(pd.to_datetime(mine["month"]).dt.date, mine["amount"], strict=True))
        assert len(known.months) >= 24
        assert [one.revenue for one in known.months] == pytest.approx([amounts[one.month] for one in known.months])
        for direction in ("in", "out"):
            shown = [one for one in known.moments if one.direction == direction]
            assert len(shown) == (own["direction"] == direction).sum()
        upset = sum(one.emotion is not None and one.emotion < 0 for one in known.moments)
        assert upset == (own["emotion"] < 0).sum()
        assert sum(one.until is not None for one in known.moments) == waits.loc[own.index].notna().sum()
        assert known.unanswered == (waits.loc[own.index] == "open").sum()


def waiting(contacts: pd.DataFrame) -> pd.Series:
    """Of each contact of a customer that waited too long: `over`, or `open` where nobody has replied; else nothing."""
    waited = pd.Series(None, index=contacts.index, dtype=object)
    replies = {
        journey: of["occurred_at"].tolist()
        for journey, of in contacts[contacts["direction"] == "out"].groupby("journey_id")
    }
    for index, row in contacts[contacts["direction"] == "in"].iterrows():
        later = [at for at in replies.get(row["journey_id"], []) if at > row["occurred_at"]]
        later += [row["answered_at"]] if pd.notna(row["answered_at"]) and row["answered_at"] < PLAIN else []
        if not later and pd.isna(row["journey_id"]):
            continue
        if min(later, default=PLAIN) - row["occurred_at"] > timedelta(days=PROMISED.days):
            waited[index] = "over" if later else "open"
    return waited
