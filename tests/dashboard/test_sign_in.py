"""Signing in with a real provider, without a browser: what a session, a tab, a link and a cookie are worth."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic, sleep
from typing import Final

import pytest

from tests.counterparts import oidc
from tests.dashboard.browser.test_sign_in import AUDIENCES, ELSEWHERE, PEOPLE, TODAY
from tests.support.readers import Reader, Site, buttons, serving, words
from tests.support.small_company import BROKEN, found

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(oidc.missing()), reason=oidc.missing() or "")]
HERE, ELSE, ANALYST, EXPERT = (f"{name}@example.com" for name in ("here", "elsewhere", "ana", "expert"))
FIGURES: Final = "files/figures.csv?month=2026-10"
SIGN_IN: Final = "Sign in to read this page."


def served(folder: Path, seconds: int = 3600) -> AbstractContextManager[Site]:
    company = found(folder, TODAY, months=3)
    for name, text in (("routing", PEOPLE), ("audiences", AUDIENCES)):
        with (company.config / f"{name}.toml").open("a", encoding="utf-8") as file:
            file.write(text)
    return serving(company, seconds=seconds)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(tmp_path_factory.mktemp("company")) as made:
        yield made


def test_two_tabs_of_one_browser_with_two_roles_keep_apart(site: Site) -> None:
    """The older tab goes on as who signed in there; what is asked for anew is of who signed in last."""
    with Reader(site.url) as reader:
        reader.sign_in(HERE)
        with reader.tab() as first:
            assert f"You see {BROKEN}" in words(first.run())
            reader.web.cookies.clear()
            reader.sign_in(ELSE)
            with reader.tab() as second:
                assert f"You see {ELSEWHERE}" in words(second.run())
                for tab, own, other in ((first, BROKEN, ELSEWHERE), (second, ELSEWHERE, BROKEN)):
                    for page in ("", "incident"):
                        said = b"".join(one.SerializeToString() for one in tab.run(page))
                        assert own.encode() in said
                        assert other.encode() not in said
                assert BROKEN not in reader.get(FIGURES).text
                # A vertical that is not one's own, by its link and by its file.
                assert reader.get(f"{FIGURES}&vertical={BROKEN}").status_code == 404
                assert "does not exist, or you have no access" in words(
                    second.run("incident", id=site.company.incident)
                )


def test_a_message_for_a_page_of_others_is_refused(site: Site) -> None:
    """A tab may ask the server for any page, whatever the browser lists."""
    for email, page in ((HERE, "lab"), (EXPERT, "lab"), (EXPERT, "accounts")):
        with Reader(site.url) as reader:
            reader.sign_in(email, "incident")
            with reader.tab() as tab:
                assert "This page is not for you" in words(tab.run(page))


def test_nobody_presses_what_somebody_else_was_shown(site: Site) -> None:
    """Whoever may not see an incident cannot acknowledge it by the name of the button either."""
    with Reader(site.url) as owner, Reader(site.url) as other:
        owner.sign_in(HERE)
        other.sign_in(ELSE)
        with owner.tab() as own, other.tab() as foreign:
            shown = own.run("incident", id=site.company.incident)
            button = next(one for one in buttons(shown) if one.label == "Acknowledge")
            foreign.run("incident", pressed=button.id, id=site.company.incident)
            assert any(one.label == "Acknowledge" for one in buttons(own.run("incident", id=site.company.incident)))


@pytest.mark.parametrize("forged", ["e30", "", ".eJyrViotTi1SslJKzMtMVKoFAB8dBBE.made.up"])
def test_a_cookie_that_the_server_did_not_sign_is_nobody(site: Site, forged: str) -> None:
    with Reader(site.url) as reader:
        reader.sign_in(ANALYST)
        signed = reader.web.cookies.get("_streamlit_user") or ""
        # Somebody else's claims under this signature, or none at all.
        _, _, signature = signed.rpartition(".")
        reader.web.cookies.clear()
        reader.web.cookies.set("_streamlit_user", f"{forged}.{signature}")
        with reader.tab() as tab:
            assert SIGN_IN in words(tab.run())
        assert (reader.get(FIGURES).status_code, reader.get(FIGURES).text) == (403, f"{SIGN_IN}\n")


def test_a_link_that_leads_elsewhere_is_not_followed(site: Site) -> None:
    with Reader(site.url) as reader:
        assert reader.sign_in(HERE, "incident", id=site.company.incident).endswith(
            f"/incident?id={site.company.incident}"
        )
    with Reader(site.url) as reader:
        reader.web.cookies.set("earshot-asked", "aHR0cHM6Ly9wcml6ZS5leGFtcGxlLw==")
        assert reader.sign_in(HERE).startswith(f"{site.url}/")


def test_who_is_removed_is_out_of_tabs_files_and_old_sessions(tmp_path: Path) -> None:
    with served(tmp_path) as site, Reader(site.url) as reader:
        reader.sign_in(HERE)
        with reader.tab() as tab:
            assert f"You see {BROKEN}" in words(tab.run())
            assert reader.get(FIGURES).status_code == 200
            text = site.routing.read_text("utf-8")
            # Moved to another vertical: the next run shows that one, and the last one nowhere.
            site.routing.write_text(
                text.replace(f'verticals = ["{BROKEN}"]', f'verticals = ["{ELSEWHERE}"]', 1), "utf-8"
            )
            said = b"".join(one.SerializeToString() for one in tab.run())
            assert f"You see {ELSEWHERE}".encode() in said
            assert BROKEN.encode() not in said
            site.routing.write_text(text.replace(HERE, "gone@example.com", 1), "utf-8")
            gone = f"{HERE} may not read anything here."
            assert gone in words(tab.run())
            with reader.tab() as another:
                assert gone in words(another.run("incident", id=site.company.incident))
            refused = reader.get(FIGURES)
            assert refused.status_code == 403
            assert gone in refused.text
            assert BROKEN.encode() not in refused.content


def test_a_sign_in_that_has_expired_is_said_in_one_sentence(tmp_path: Path) -> None:
    """On a page that was open all the time, in a new tab, and for a file; and it leads back to the page."""
    with served(tmp_path, seconds=4) as site, Reader(site.url) as reader:
        reader.sign_in(HERE, "incident", id=site.company.incident)
        over = "Your sign-in has expired. Sign in again; you will come back to this page."
        with reader.tab() as tab:
            until = monotonic() + 60
            while over not in words(said := tab.run("incident", id=site.company.incident)):
                assert monotonic() < until
                sleep(0.5)
            assert BROKEN not in words(said)
            assert [one.label for one in buttons(said)] == ["Sign in"]
            with reader.tab() as another:
                assert over in words(another.run())
            assert (reader.get(FIGURES).status_code, reader.get(FIGURES).text) == (403, f"{over}\n")
        back = reader.sign_in(HERE, "incident", id=site.company.incident)
        assert back == f"{site.url}/incident?id={site.company.incident}"
