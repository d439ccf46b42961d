"""Who may read of an incident: a channel by its route, a person by who they are. Pure."""

from config.models import Catalog, Person, Route
from queries.state import Incident
from queries.warehouse import EVERYTHING, UNKNOWN, Scope


def reader_scope(reader: Person | Route) -> Scope:
    """What a person, or who reads a route's channel, may see."""
    verticals = frozenset(reader.verticals) if reader.verticals is not None else None
    if isinstance(reader, Route):
        return Scope("channel", verticals)
    touchpoints = frozenset(reader.touchpoints) if reader.touchpoints is not None else None
    accounts = frozenset(reader.accounts) if reader.accounts is not None else None
    return Scope(reader.audience, verticals, touchpoints, accounts)


def scope_of(catalog: Catalog, name: str) -> Scope:
    """What somebody may act on by that name. A login that the configuration does not know is this machine's keeper."""
    person = next((person for person in catalog.people if person.name == name), None)
    return reader_scope(person) if person else EVERYTHING


def may_read(reader: Person | Route, incident: Incident) -> bool:
    """Whether an incident lies inside a reader's scope, as the state's own reads decide it.

    One that is about more than one vertical is outside the scope of whoever may see only some.
    """
    seen = reader_scope(reader)
    pairs = ((incident.vertical, seen.verticals), (incident.touchpoint, seen.touchpoints),
             (incident.account_id, seen.accounts))  # fmt: skip
    return all(allowed is None or (UNKNOWN if value is None else value) in allowed for value, allowed in pairs)


def channel_reader(catalog: Catalog, target: str, channel: str) -> Route:
    """The route as which whoever reads a channel gets what goes to the route `target`.

    Of all routes that lead to the channel the least may be told there. Where none does any more nothing may be.
    """
    leading = [route for route in catalog.routes if route.channel == channel or route.name == target]
    # Not checked: a letter's target is a person, whose name with its @ no route may have.
    gone = Route.model_construct(name=target)
    own = next((route for route in leading if route.name == target), gone)
    limits = [frozenset(route.verticals) for route in leading if route.verticals is not None]
    verticals = tuple(sorted(frozenset.intersection(*limits))) if limits else None
    show = tuple(part for part in own.show if all(part in route.show for route in leading))
    return own.model_copy(update={"verticals": verticals if leading else (), "show": show if leading else ()})


def may_name_accounts(route: Route) -> bool:
    """Whether a route's messages may say which account it is."""
    return "accounts" in route.show
