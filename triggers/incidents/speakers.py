"""Which incident speaks for another, so that one event is one message: as rules say, or by place and time. Pure."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from config.models import Catalog, Rule
from queries.state import Incident, slice_values


def speaker_of(incident: Incident, catalog: Catalog, standing: Sequence[Incident]) -> Incident | None:
    """The incident of `standing` that speaks for another one; None where it speaks for itself.

    That is one of the rule that inhibits its own, over all of its slice; or the worst and first of those that are about
    the same event, where their channel is its own, or its own is that of the guard: the analyst's, who gets what has no
    specialist. Severity 1 is left to nothing but an earlier incident of its own rule, or of its own account and route:
    what an account says, buys and leaves unsaid is one story.
    """
    rule = _rule(incident, catalog)
    if incident.class_ == "data" or rule is None:
        return None
    own = slice_values(incident.slice).items()
    if rule.inhibited_by is not None:
        parents = (one for one in standing if one.rule == rule.inhibited_by and one.class_ != "data")
        if parent := next((one for one in parents if slice_values(one.slice).items() <= own), None):
            return parent
    here = (one for one in standing if (one.vertical, one.account_id) == (incident.vertical, incident.account_id))
    worse = (one for one in here if _rank(one) < _rank(incident) and _may_speak(one, incident, catalog))
    alike = sorted((one for one in worse if _is_one_event(one, incident, catalog)), key=_rank)
    # Who is spoken for has no message in whose thread anything could stand.
    return next((one for one in alike if speaker_of(one, catalog, standing) is None), None)


def _rank(incident: Incident) -> tuple[object, ...]:
    return incident.severity, incident.opened_at, incident.id


def _may_speak(one: Incident, incident: Incident, catalog: Catalog) -> bool:
    is_alone = incident.severity == 1 and one.rule != incident.rule and not _is_one_account(one, incident)
    if one.class_ == "data" or is_alone:
        return False
    return incident.route in (one.route, catalog.guard.route)


def _is_one_account(one: Incident, other: Incident) -> bool:
    return one.account_id is not None and (one.account_id, one.route) == (other.account_id, other.route)


def _is_one_event(one: Incident, other: Incident, catalog: Catalog) -> bool:
    """Whether two incidents of one vertical or account are about one event.

    Nothing sets their places apart, and the later one looks at days on which the earlier one was open; of one account
    either of them does.
    """
    rules = _rule(one, catalog), _rule(other, catalog)
    if rules[0] is None or rules[1] is None:
        return False
    reaches = [rule.reach for rule in rules if rule]
    reach = max(reaches) if _is_one_account(one, other) else reaches[one.slot <= other.slot]
    if abs(one.slot - other.slot) >= reach:
        return False
    places = _place(one, rules[0]), _place(other, rules[1])
    return all(places[0][column] == places[1][column] for column in places[0].keys() & places[1].keys())


def _place(incident: Incident, rule: Rule) -> dict[str, str]:
    """The values that all rows of an incident have, by their column, whichever table that stands in."""
    fixed = {c.column.split(".")[-1]: str(c.any_of[0]) for c in rule.where if c.any_of and len(c.any_of) == 1}
    own = {} if incident.is_case else slice_values(incident.slice)
    return {**fixed, **own, **({"touchpoint": incident.touchpoint} if incident.touchpoint else {})}


def _rule(incident: Incident, catalog: Catalog) -> Rule | None:
    return next((rule for rule in catalog.rules if rule.name == incident.rule), None)


def part_of(incident: Incident, catalog: Catalog, zone: ZoneInfo) -> str:
    """An incident and its day as they stand in the thread of the one that speaks for it: no account is named."""
    rule = _rule(incident, catalog)
    values = {} if rule is None or rule.is_case else slice_values(incident.slice)
    where = ", ".join(value for column, value in values.items() if column != "account_id") or incident.vertical
    label = rule.label or rule.name if rule else incident.rule
    found = f"found {incident.opened_at.astimezone(zone):%-d %B %Y}"
    return f"{label} ({', '.join(filter(None, (where, found)))})"


def speaks_alone(incident: Incident, rule: Rule) -> bool:
    """Severity 1, and whatever a rule finds at one of the accounts that it keeps an eye on by their tier."""
    is_key = incident.account_id is not None and any(c.column == "account.tier" for c in rule.where)
    return incident.severity == 1 or is_key
