"""The sheet of every account of several companies: what its own people said, what is done for it, and nothing else."""

import re
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Final

import pytest

from dashboard import stores
from queries.engine import disposing
from queries.state import NewAction, open_state, record_action
from tests.accounts.test_accounts_page import FOUND, install, sheet, tokens

COMPANIES: Final = [4, 11, *(pytest.param(seed, marks=pytest.mark.proof) for seed in range(12, 20))]


@pytest.mark.parametrize("seed", COMPANIES)
def test_a_sheet_holds_what_is_its_accounts_own(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, rows = Random(seed), tokens(seed)
    accounts = [row["account_id"] for row in rows["account"]]
    done = {account: draw.randint(0, 3) for account in draw.sample(accounts, 15)}
    # Some people answered long ago only, and some accounts are named in what others wrote or do.
    since = datetime(2025, 6, 29)  # noqa: DTZ001
    for row in rows["response"]:
        if draw.random() < 0.3:
            row |= {"invited_at": since, "responded_at": since}
    folder = install(tmp_path / "installed", rows, done)
    with disposing(open_state(folder)) as states, states.begin() as conn:
        for vertical in ("Energy", None):
            new = NewAction("call token-ZZ for all of them", "relationship-lead", date(2026, 6, 1), vertical=vertical)
            record_action(conn, new, "ana", FOUND)
    monkeypatch.setenv("EARSHOT_DATA", str(folder))
    monkeypatch.setenv("EARSHOT_CONFIG", str(folder / "config"))
    monkeypatch.setenv("EARSHOT_DASHBOARD__OPEN_MODE", "true")
    try:
        sheets = {account: sheet(account) for account in accounts}
    finally:
        stores.close()
    heard = Counter[str]()
    for row in rows["response"]:
        heard[row["account_id"]] += row["responded_at"].replace(tzinfo=UTC) > datetime(2025, 12, 1, tzinfo=UTC)
    for account, page in sheets.items():
        named = set(re.findall(r"(?:token|desk)-(\w+)", page))
        assert named <= {account}
        assert page.count(f"call {account} about its token") == done.get(account, 0)
        assert ("How likely you are to recommend us" in page) == (heard[account] > 0)
        assert ("You have not answered us" in page) == (heard[account] == 0)
    assert sum(map(bool, heard.values())) > 20
    assert sum(not of for of in heard.values()) >= 2
