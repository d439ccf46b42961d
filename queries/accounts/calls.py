"""Whom to call: accounts with something open and large ones that may be At Risk, by the revenue at stake. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from config.models import Catalog
from queries.accounts.portfolio import Portfolio, PortfolioAccount
from queries.accounts.sheet import UNSHARED, is_unshared
from queries.state import Action, Incident

LARGEST: Final = 10
"""So large a part of a vertical's accounts, the largest ones, are looked after before anything is open: one in ten."""

AT_RISK: Final = "A large account is At Risk"
NEAR_RISK: Final = "A large account may be At Risk"
NOT_SHARED: Final = f"What is being done was not shared with the customer for {UNSHARED.days} days"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an account should be called: in words, since when, and the incident that says more."""

    words: str
    since: datetime | None = None
    incident_id: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """An account to call, the worst reason first; `account` is None where it bought nothing in a year."""

    id: str
    vertical: str
    account: PortfolioAccount | None
    reasons: tuple[Reason, ...]

    @property
    def revenue(self) -> float:
        """What is at stake: its revenue of the last twelve months."""
        return self.account.revenue if self.account else 0.0


def calls(
    portfolio: Portfolio | None, found: Iterable[Incident], actions: Iterable[Action], catalog: Catalog, now: datetime
) -> tuple[Call, ...]:
    """The accounts to call, those with most revenue first.

    Args:
        portfolio: the reader's.
        found: the incidents that the reader may see.
        actions: what is done about them.
        catalog: what its rules are called.
        now: aware UTC.
    """
    labels = {rule.name: rule.label or rule.name for rule in catalog.rules}
    accounts = {account.id: account for account in (portfolio.accounts if portfolio else ())}
    mine = [one for one in found if one.account_id and one.class_ == "customer"]
    late = {action.incident_id for action in actions if is_unshared(action, now)}
    open_: dict[str, list[Incident]] = {}
    unshared: dict[str, Incident] = {}
    for incident in mine:
        id_ = incident.account_id or ""
        if incident.is_open:
            open_.setdefault(id_, []).append(incident)
        if incident.id in late:
            unshared[id_] = incident
    slipping = {account.id: account for account in _slipping(portfolio)} if portfolio else {}
    made = []
    for id_ in open_.keys() | slipping.keys() | unshared.keys():
        incidents = sorted(open_.get(id_, ()), key=lambda one: (one.severity, one.opened_at, one.id))
        reasons = [Reason(labels.get(one.rule, one.rule), one.opened_at, one.id) for one in incidents]
        if id_ in slipping:
            reasons.append(Reason(AT_RISK if slipping[id_].state == "At Risk" else NEAR_RISK))
        if id_ in unshared:
            reasons.append(Reason(NOT_SHARED, None, unshared[id_].id))
        account = accounts.get(id_)
        vertical = account.vertical if account else (incidents or [unshared[id_]])[0].vertical or ""
        made.append(Call(id_, vertical, account, tuple(dict.fromkeys(reasons))))
    return tuple(sorted(made, key=lambda one: (-one.revenue, one.id)))


def _slipping(portfolio: Portfolio) -> Sequence[PortfolioAccount]:
    """The largest accounts of each vertical that are At Risk, or on the boundary to it."""
    by: dict[str, list[PortfolioAccount]] = {}
    for account in portfolio.accounts:
        by.setdefault(account.vertical, []).append(account)
    # The accounts of a portfolio are in order of revenue.
    largest = (account for of in by.values() for account in of[: max(1, len(of) // LARGEST)])
    return [account for account in largest if account.is_near("At Risk")]
