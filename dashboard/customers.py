"""What several pages read of accounts, each result once: their names, and the portfolio."""

from datetime import date

from dashboard.cache import ENTRIES, Key, shared
from queries.accounts import AccountFacts, Portfolio, portfolio_before, read_account_facts
from queries.review import read_account_name
from queries.warehouse import Pin


# An account's name is one short string, and the list of incidents asks for many at once.
@shared(entries=ENTRIES * 8)
def account_name(key: Key, _pin: Pin, account_id: str) -> str:
    """An account's name, or its pseudonym where the reader may not have the name."""
    name = read_account_name(_pin.conn, account_id, key.scope) if key.has_names else None
    return name or pseudonym(account_id)


def pseudonym(account_id: str) -> str:
    """What an account is called where its name is not shown: its number at its source, the same everywhere."""
    return f"account {account_id}"


@shared(spinner="Reading the accounts …")
def account_facts(key: Key, _pin: Pin) -> AccountFacts:
    """What portfolios are made of, within a reader's scope."""
    return read_account_facts(_pin.conn, key.scope, key.as_of, key.currency)


@shared()
def portfolio(key: Key, _pin: Pin, before: date | None = None) -> Portfolio | None:
    """The portfolio of the newest twelve months, or of those before a day; None without revenue or cut-offs.

    Raises:
        UnratedRevenueError: revenue in a currency without a rate.
    """
    return portfolio_before(account_facts(key, _pin), key.catalog, before)
