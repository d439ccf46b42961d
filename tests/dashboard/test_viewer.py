"""Who is let in: what the provider's claims and the configuration make of a reader."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from config.models import Catalog, Person, Privacy
from config.settings import SignInSettings
from dashboard.viewer import NotKnownError, NotSignedInError, open_viewer, seen_as, signed_in
from queries.warehouse import Scope
from tests.support.company import catalog

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
ADDRESS = "https://login.example.com/.well-known/openid-configuration"
SETTINGS = SignInSettings(
    metadata_url=ADDRESS, client_id="earshot", client_secret=SecretStr("x"), cookie_secret=SecretStr("y" * 32)
)
CLAIMS = {"email": "Ana@Example.com", "email_verified": True, "exp": (NOW + timedelta(hours=1)).timestamp()}


def company(**limits: Any) -> Catalog:
    ana = Person(name="ana", label="General manager of Payments", audience="gm", email="ana@example.COM", **limits)
    return catalog().model_copy(update={"people": (ana,)})


def test_a_reader_is_whom_the_verified_address_names() -> None:
    reader = signed_in((), CLAIMS, company(verticals=("Payments", "Energy"), touchpoints=("phone",)), NOW)
    assert reader.scope == Scope(
        "gm", frozenset({"Payments", "Energy"}), frozenset({"phone"}), privacy=Privacy(exempt=("relationship-nps",))
    )
    assert (reader.name, reader.email) == ("ana", "Ana@Example.com")
    assert reader.notice == "You see Payments and Energy, phone, as General manager of Payments."
    everything = signed_in((), CLAIMS, company(), NOW)
    assert everything.notice.startswith("You see everything")
    nothing = signed_in((), CLAIMS, company(accounts=()), NOW)
    assert nothing.scope.accounts == frozenset()
    assert nothing.notice.startswith("You see nothing")


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({}, "Sign in to read"),
        ({"exp": NOW.timestamp()}, "has expired"),
        ({"exp": None}, "has expired"),
        ({"exp": "9999999999"}, "has expired"),
    ],
)
def test_nobody_is_let_in_who_is_not_signed_in(claims: dict[str, Any], said: str) -> None:
    with pytest.raises(NotSignedInError, match=said) as told:
        signed_in((), {**CLAIMS, **claims} if claims else {}, company(), NOW)
    assert told.value.can_sign_in


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"email_verified": False}, "without a verified"),
        ({"email_verified": "true"}, "without a verified"),
        ({"email_verified": None}, "without a verified"),
        ({"email": None}, "without a verified"),
        ({"email": ["ana@example.com"]}, "without a verified"),
        ({"email": "ben@example.com"}, "ben@example.com may not read anything here"),
        ({"email": ""}, "may not read anything"),
        ({"email": "ana@example.com "}, "may not read anything"),
    ],
)
def test_nobody_is_let_in_whom_nobody_knows(claims: dict[str, Any], said: str) -> None:
    with pytest.raises(NotKnownError, match=said):
        signed_in((), {**CLAIMS, **claims}, company(), NOW)


@pytest.mark.parametrize("name", SignInSettings.model_fields)
def test_without_one_of_the_settings_nobody_is_let_in(name: str) -> None:
    lacking = SETTINGS.model_copy(update={name: None}).missing
    with pytest.raises(NotSignedInError, match=f"Set sign_in.{name}, or") as told:
        signed_in(lacking, CLAIMS, company(), NOW)
    assert not told.value.can_sign_in


def test_a_person_without_an_address_is_nobody() -> None:
    silent = company().model_copy(update={"people": (company().people[0].model_copy(update={"email": None}),)})
    with pytest.raises(NotKnownError):
        signed_in((), {**CLAIMS, "email": "None"}, silent, NOW)


def test_an_analyst_sees_as_another_no_more_than_before() -> None:
    ana, gm = (
        Person(name=name, label=name, audience=audience, email=f"{name}@example.com", verticals=verticals)
        for name, audience, verticals in (
            ("ana", "analyst", ("Energy", "Payments")),
            ("gm", "gm", ("Payments", "Rail")),
        )
    )
    of = catalog().model_copy(update={"people": (ana, gm)})
    own = signed_in((), CLAIMS, of, NOW)
    other = seen_as(own, gm, of)
    assert own.can_see_as
    assert other.scope == Scope("gm", frozenset({"Payments"}), privacy=Privacy(exempt=("relationship-nps",)))
    assert (other.name, other.can_see_as) == ("ana", True)
    assert not signed_in((), {**CLAIMS, "email": "gm@example.com"}, of, NOW).can_see_as


@pytest.mark.parametrize(("own", "other", "both"), [(None, {"a"}, {"a"}), ({"a"}, None, {"a"}), ({"a"}, {"b"}, set())])
def test_a_scope_within_another_is_no_wider(own: set[str] | None, other: set[str] | None, both: set[str]) -> None:
    def scope(values: set[str] | None, role: str) -> Scope:
        limit = None if values is None else frozenset(values)
        return Scope(role, limit, limit, limit)

    assert scope(own, "gm").within(scope(other, "analyst")) == scope(both, "gm")


def test_open_mode_is_an_analyst() -> None:
    viewer = open_viewer(company())
    assert viewer.scope == Scope("analyst", privacy=Privacy(exempt=("relationship-nps",)))
    assert viewer.audience is None or viewer.audience.account_names
