"""Who is looking. Every function that reads customer data takes the reader's Scope."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from config import EarshotError
from config.models import Audience, Catalog, Person
from queries.warehouse import Scope
from triggers.incidents import reader_scope


class NotSignedInError(EarshotError):
    """Nobody is signed in where that is asked for. `can_sign_in` is whether they can from here."""

    def __init__(self, message: str, *, can_sign_in: bool = True) -> None:
        super().__init__(message)
        self.can_sign_in = can_sign_in


class NotKnownError(EarshotError):
    """Somebody is signed in whom the configuration lets see nothing."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """A reader: the name decisions are recorded under, and what may be seen. `notice` is shown on every page.

    `audience` is None where the configuration has none of the role's name; `email` where nobody signed in.
    `can_see_as` is whether the reader may look at the pages as others see them.
    """

    name: str
    scope: Scope
    audience: Audience | None = None
    notice: str = ""
    email: str | None = None
    can_see_as: bool = False


OPEN_MODE: Final = "Open mode: no sign-in. Anyone on this computer can see all data."


def open_viewer(catalog: Catalog) -> Viewer:
    """Whoever sits at this machine, where nobody signs in: all data can be seen, the names of accounts too."""
    scope = Scope(role="analyst", privacy=catalog.privacy)
    audience = catalog.audience(scope.role)
    everything = audience.model_copy(update={"account_names": True}) if audience else None
    return Viewer("open mode", scope, everything, OPEN_MODE)


def signed_in(missing: Sequence[str], claims: Mapping[str, Any], catalog: Catalog, now: datetime) -> Viewer:
    """The reader whom the provider's claims name (OpenID Connect Core 1.0, sections 2 and 5.1).

    Args:
        missing: the settings of signing in that are not set; nobody is let in until all are.
        claims: what the provider said when the reader signed in; empty where nobody did.
        catalog: it says who has which e-mail address, and what each may see.
        now: aware; claims hold until their `exp`.

    Raises:
        NotSignedInError: nobody is signed in, or not any more.
        NotKnownError: the address is not verified, or nobody has it.
    """
    if missing:
        names = ", ".join(f"sign_in.{name}" for name in missing)
        raise NotSignedInError(
            f"Signing in is not set up. Set {names}, or dashboard.open_mode = true, in config/settings.toml.",
            can_sign_in=False,
        )
    if not claims:
        raise NotSignedInError("Sign in to read this page.")
    if not isinstance(claims.get("exp"), int | float) or claims["exp"] <= now.timestamp():
        raise NotSignedInError("Your sign-in has expired. Sign in again; you will come back to this page.")
    email = claims.get("email")
    if not isinstance(email, str) or claims.get("email_verified") is not True:
        raise NotKnownError("Your sign-in came without a verified e-mail address. Ask whoever runs the sign-in.")
    person = next((one for one in catalog.people if one.email and one.email.casefold() == email.casefold()), None)
    if person is None:
        raise NotKnownError(f"{email} may not read anything here. Ask whoever looks after Earshot to add the address.")
    scope = replace(reader_scope(person), privacy=catalog.privacy)
    notice = f"You see {_seen(person)}, as {person.label}."
    return Viewer(person.name, scope, catalog.audience(scope.role), notice, email, can_see_as=scope.role == "analyst")


def seen_as(reader: Viewer, person: Person, catalog: Catalog) -> Viewer:
    """The reader, shown what another person sees of what the reader may see; what is recorded stays the reader's."""
    scope = reader_scope(person).within(reader.scope)
    notice = f"You see what {person.label} sees: {_seen(person)}. What you record is recorded under your name."
    return replace(reader, scope=scope, audience=catalog.audience(scope.role), notice=notice)


def _seen(person: Person) -> str:
    """What a person sees, in words: "Payments and Energy", or "everything"."""
    limits = (person.verticals, person.touchpoints, person.accounts)
    parts = [" and ".join(limit) or "nothing" for limit in limits if limit is not None]
    return ", ".join(parts) or "everything"
