"""The parts of the accounts page as HTML; the templates are in `macros.html`. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta, tzinfo
from typing import Final
from urllib.parse import urlencode

from markupsafe import Markup

from config.models import Catalog, label_of
from dashboard.accounts.data import AccountPage, YearAfter
from dashboard.markup import macros, section
from queries.accounts import (
    BOUNDARY_STATE,
    NO_SIGNAL,
    PROMISED,
    QUADRANTS,
    STATES,
    AccountSheet,
    Call,
    JourneyCost,
    Move,
    Portfolio,
    PortfolioAccount,
)
from queries.documents.sheet_paper import told_lines, when
from queries.metrics import YEAR, count, day_words, listed, money_figure, money_range, number_word
from queries.state import Action

_MACROS: Final = macros("accounts/macros.html")
_SHEET: Final = macros("accounts/sheet.html")

SHEET: Final = "sheet.html"
"""The file of an account's sheet."""

MEANINGS: Final = {
    "Model": "good relationship, high value",
    "Growth": "good relationship, room to grow",
    "At Risk": "high value, poor relationship",
    "Dangling": "low value, poor relationship",
    BOUNDARY_STATE: "more than one chance in five of another quadrant",
    NO_SIGNAL: "no answer, or no value known",
}
_MOST_NAMED: Final = 2
LONG_AGO: Final = 14
"""Days: of an account that was in touch before, the number of days is said, too."""


def list_header(
    found: Sequence[Call], names: Mapping[str, str], place: str, portfolio: Portfolio | None, currency: str
) -> Markup:
    """The headline: who needs a call, and what that is worth."""
    if not found:
        headline = "No account needs a call: nothing is open at any of them."
    else:
        number = len(found)
        needs = "account needs you" if number == 1 else "accounts need you"
        named = [names[call.id] for call in found[:_MOST_NAMED]]
        rest = number - len(named)
        said = listed([*named, f"{number_word(rest)} more"] if rest else named)
        money = money_figure(sum(call.revenue for call in found), currency)
        worth = f", worth {money} a year" if any(call.revenue for call in found) else ""
        headline = f"{number_word(number).capitalize()} {needs}{worth}: {said}."
    line = "95% confidence intervals"
    if portfolio:
        line = f"Revenue of the twelve months to {portfolio.until - timedelta(days=1):%B %Y} · {line}"
    return _MACROS.account_header(f"Accounts · {place}", headline, line)


def call_table(
    found: Sequence[Call], names: Mapping[str, str], currency: str, zone: tzinfo, *, has_links: bool
) -> Markup:
    """Whom to call, those with most revenue first."""
    rows = []
    for call in found:
        reasons = [
            (
                reason.words,
                day_words(reason.since, zone) if reason.since else "",
                reason.incident_id if has_links else "",
            )
            for reason in call.reasons
        ]
        money = money_figure(call.revenue, currency) if call.account else "none"
        rows.append((call.id, names[call.id], call.vertical, reasons, money))
    return _MACROS.calls(rows)


def state_table(portfolio: Portfolio, moved: Sequence[Move], currency: str) -> Markup:
    """How many accounts each quadrant has, how many it had a quarter before, and what they buy."""
    before = {state: sum(len(move.accounts) for move in moved if move.before == state) for state in STATES}
    rows = []
    for state in STATES:
        of = portfolio.of(state)
        money = sum(account.revenue for account in of)
        part = f"{money / portfolio.revenue:.0%}" if portfolio.revenue > 0 else "–"
        rows.append(
            (
                state_name(state),
                MEANINGS[state],
                count(len(of)),
                count(before[state]),
                money_figure(money, currency),
                part,
            )
        )
    total = count(len(portfolio.accounts)), count(sum(before.values())), money_figure(portfolio.revenue, currency)
    return _MACROS.states(rows, total)


def kept_table(after: YearAfter, currency: str) -> Markup:
    """What groups of accounts kept of their revenue in the year after, and whether better answers go with more."""
    named = [(f"answered {group.name}", group) for group in after.by_answers]
    named += [(group.name, group) for group in after.by_quadrant]
    rows = []
    for name, group in named:
        kept = "too few accounts"
        if group.kept is not None and group.low is not None and group.high is not None:
            kept = f"{group.kept:.0%} ({group.low:.0%} to {group.high:.0%})"
        rows.append((name, count(group.accounts), money_figure(group.before, currency), kept))
    ahead, said = after.ahead, "Too few accounts answered well, or badly, to say what became of their revenue."
    if ahead is not None:
        ends = f"{100 * ahead.low:+.0f} to {100 * ahead.high:+.0f} points".replace("-", "\N{MINUS SIGN}")
        said = "Whether accounts with better answers keep more of their revenue cannot be told"
        if ahead.is_certain:
            more = "more" if ahead.value > 0 else "less"
            said = (
                f"Accounts that answered {ahead.better.name} kept {abs(100 * ahead.value):.0f} points {more} of their "
            )
            said += f"revenue than those that answered {ahead.worse.name}"
        said += f" (difference {ends})."
    return _MACROS.kept(rows, said)


def account_table(
    accounts: Sequence[PortfolioAccount], names: Mapping[str, str], currency: str, *, has_verticals: bool
) -> Markup:
    """Accounts with their quadrant and both axes."""
    rows = [
        (
            one.id,
            names[one.id],
            one.vertical if has_verticals else "",
            state_words(one),
            relationship_words(one),
            worth_words(one),
            money_figure(one.revenue, currency),
        )
        for one in accounts
    ]
    return _MACROS.accounts(rows)


def state_name(state: str) -> str:
    """A quadrant, or another state of an account, where it stands by itself."""
    return state[:1].upper() + state[1:]


def state_words(one: PortfolioAccount) -> str:
    """Where it is; on a boundary, where it may be."""
    if one.state != BOUNDARY_STATE:
        return one.state if one.quadrant else NO_SIGNAL
    sides = [name for name in QUADRANTS if name == one.quadrant or one.is_near(name)]
    return f"{' or '.join(sides)}"


def relationship_words(one: PortfolioAccount) -> str:
    """Its mean score with interval and number of answers."""
    if one.score is None:
        return "no answer"
    low, high = max(one.score.low, 0), min(one.score.high, 10)
    return f"{one.score.value:.1f} ({low:.1f} to {high:.1f}), n = {count(one.answers)}"


def worth_words(one: PortfolioAccount) -> str:
    """Its share of wallet with interval, else the growth of its revenue."""
    if one.share is not None:
        return f"{one.share.value:.0%} ({max(one.share.low, 0):.0%} to {min(one.share.high, 1):.0%})"
    if one.growth is not None:
        ends = f"{one.growth.low:+.0%} to {one.growth.high:+.0%}"
        return f"not known; revenue {one.growth.value:+.0%} ({ends}) on a year before".replace("-", "\N{MINUS SIGN}")
    return "not known"


def account_header(page: AccountPage, currency: str, today: date) -> Markup:
    """One account: what it buys and when it was last in touch in a sentence, then what is known of it."""
    story, place = page.story, page.place
    kicker = " · ".join(filter(None, ("Account", story.vertical, f"tier {story.tier}" if story.tier else "")))
    said = [f"bought for {money_figure(place.revenue, currency)} in twelve months{_change(page)}"] if place else []
    said.append(_touched(story.touched_on, today))
    line = f"Customer since {day_words(story.since)}" if story.since else ""
    header = _MACROS.account_header(kicker, f"{story.name} {' and '.join(said)}.", line)
    return header + _MACROS.facts(_facts(page))


def _touched(on: date | None, today: date) -> str:
    if on is None:
        return "was never in touch"
    days = (today - on).days
    ago = f", {count(days)} days ago" if days > LONG_AGO else ""
    return f"was last in touch on {day_words(on)}{ago}"


def _change(page: AccountPage) -> str:
    """By how much more or less than in the year before; empty where that is not known."""
    amounts = [month.revenue for month in page.story.months if month.revenue is not None]
    before = sum(amounts[-2 * YEAR : -YEAR])
    if len(amounts) < 2 * YEAR or before <= 0:
        return ""
    change = sum(amounts[-YEAR:]) / before - 1
    if round(100 * change) == 0:
        return ", as much as in the year before,"
    return f", {abs(change):.0%} {'more' if change > 0 else 'less'} than in the year before,"


def _facts(page: AccountPage) -> list[tuple[str, str, str]]:
    story, place = page.story, page.place
    facts = list[tuple[str, str, str]]()
    standing = sum(one.is_open for one in page.incidents)
    facts.append(("Open incidents", count(standing) if standing else "none", ""))
    if place:
        shares = [month.share for month in story.months if month.share is not None]
        before = f"{shares[-YEAR - 1]:.0%} a year before" if len(shares) > YEAR else ""
        if place.share is not None:
            facts.append(("Share of wallet", f"{place.share.value:.0%}", before))
        score, _, rest = relationship_words(place).partition(" (")
        facts.append(("Relationship, of 10", score, f"({rest}" if rest else ""))
        facts.append(("Quadrant", state_words(place), ""))
    if story.answered_on:
        facts.append(("Last answer", day_words(story.answered_on), f"{count(len(story.answers))} in all"))
    if story.unanswered:
        facts.append(("Waits for a reply", count(story.unanswered), f"for more than {PROMISED.days} days"))
    return facts


def cost_section(costs: Sequence[JourneyCost], currency: str) -> Markup:
    """What journeys cost, by type, and what contacts beyond the usual number cost; nothing where no cost is known."""
    if not costs:
        return Markup()
    total, number = sum(one.excess_cost for one in costs), sum(one.excess for one in costs)
    said = (
        f"{count(number)} contacts were more than is usual for the type of journey: {money_figure(total, currency)} in "
    )
    said += "twelve months. Half of a type's journeys need no more than the usual number."
    rows = []
    for one in costs:
        cost = money_range(one.cost.mean, one.cost.low, one.cost.high, currency) if one.cost else "too few"
        excess = count(one.excess), money_figure(one.excess_cost, currency)
        rows.append((one.journey_type, count(one.journeys), cost, count(one.usual), *excess))
    return section("What contacts cost", "By type of journey, of those that ended in twelve months.") + _MACROS.costs(
        rows, said
    )


def band(title: str, lede: str) -> Markup:
    """The heading of one band of an account's time."""
    return _MACROS.band(title, lede)


def open_list(page: AccountPage, catalog: Catalog, zone: tzinfo, *, has_links: bool) -> Markup:
    """What is open at the account, the worst first, then what was solved lately."""
    labels = {rule.name: rule.label or rule.name for rule in catalog.rules}
    found = sorted(page.incidents, key=lambda one: (not one.is_open, one.severity if one.is_open else 0))
    rows = []
    for one in found[:8]:
        when = f"found {day_words(one.opened_at, zone)}"
        if one.resolved_at:
            when += f", over on {day_words(one.resolved_at, zone)}"
        elif one.assigned_to:
            when += f", with {label_of(one.assigned_to, catalog.people)}"
        else:
            when += ", with nobody yet"
        rows.append((labels.get(one.rule, one.rule), one.id if has_links else "", when))
    return _MACROS.open(rows)


def sheet_link(account: str) -> Markup:
    """Where the sheet for the customer is."""
    query = urlencode({"id": account})
    return _MACROS.sheet_link("The sheet for the customer", f"files/{SHEET}?{query}", f"files/sheet.pdf?{query}")


def action_line(action: Action, catalog: Catalog, zone: tzinfo) -> Markup:
    """What is being done for the account, whose it is, by when, and whether the customer knows."""
    shared = "not shared with the customer"
    if action.shared_at:
        by = f" by {label_of(action.shared_by, catalog.people)}" if action.shared_by else ""
        shared = f"shared on {day_words(action.shared_at, zone)}{by}"
    who = label_of(action.owner, catalog.people)
    return _MACROS.open([(action.what, "", f"{who}, {when(action, zone)}; {shared}")])


def sheet(of: AccountSheet, name: str, catalog: Catalog, today: date, zone: tzinfo) -> Markup:
    """The sheet for the customer, a page of its own."""
    actions = [(action.what, when(action, zone), label_of(action.owner, catalog.people)) for action in of.actions]
    words = [answer.comment for answer in of.words]
    return _SHEET.sheet(name, day_words(today), told_lines(of), words, actions)
