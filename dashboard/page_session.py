"""One page run: who looks, at which generation of the data, under which configuration, at what time."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from secrets import token_urlsafe
from typing import Any, Final

import streamlit as st
from markupsafe import Markup
from sqlalchemy import Connection

from config import EarshotError
from config.models import Catalog
from dashboard import cache, markup
from dashboard.stores import stores
from dashboard.viewer import Viewer, open_viewer, seen_as, signed_in
from queries.messages import waiting_and_dead
from queries.metrics import count
from queries.state import rule_errors
from queries.stores import Stores
from queries.warehouse import Pin

EVERY_FUNCTION: Final = "All functions"
"""What a page shows where it is not narrowed to what one function of the company is responsible for."""

SEE_AS: Final = "see-as"
"""The element in which an analyst chooses as whom to see the pages."""


@dataclass(frozen=True, slots=True)
class PageSession:
    """What a page works with. `pin` and `state` are open for as long as the page runs.

    `changes` counts the changes of the state before it was read; None where that is not known. `pages` are those that
    a link can lead to, by name: Streamlit would look each up on the disk by its path.
    """

    stores: Stores
    viewer: Viewer
    catalog: Catalog
    key: cache.Key
    pin: Pin
    state: Connection
    changes: cache.Changes
    now: datetime
    pages: dict[str, st.Page] = field(default_factory=dict)

    def own_key(self, name: str) -> str:
        """The key of an element that changes something: nobody but this session can name it."""
        # Streamlit presses whatever element a message names, and computes its name from what the page's author wrote:
        # a stranger could press a button that he was never shown.
        secret = st.session_state.setdefault("secret", token_urlsafe())
        return f"{name}-{secret}"

    def opens(self, word: str) -> bool:
        """Whether the viewer's audience has a page, by the word that audiences.toml has for it."""
        return self.viewer.audience is not None and word in self.viewer.audience.pages

    def write(self, change: Callable[[Connection], object]) -> None:
        """Change the state and show the page anew, or say on it why that cannot be."""
        try:
            with self.stores.writing() as conn:
                change(conn)
        except EarshotError as error:
            st.error(str(error))
            return
        st.rerun()


@contextmanager
def page_session(claims: Mapping[str, Any] | None = None) -> Iterator[PageSession]:
    """Open everything for one page run, or for a file: `claims` is then what the provider said of whoever asks for it.

    Raises:
        ConfigError: the configuration or the settings have mistakes.
        NotSignedInError, NotKnownError: nobody may look.
        NoWarehouseError: nothing is loaded yet.
        EarshotError: a store cannot be opened.
    """
    # The clock is read once: whatever the page says of "today" agrees, also at midnight.
    opened, now = stores(), datetime.now(UTC)
    stamp = cache.config_fingerprint(opened.settings.config, now)
    catalog = cache.catalog(str(opened.settings.config), stamp)
    reader = _viewer(opened, claims, catalog, now)
    # One generation for the whole run: a load that is published meanwhile is seen by the next one.
    # Counted before the state is read: what is cached under a number is then never older than it.
    changes = opened.changes.now()
    with opened.pinned() as pin, opened.reading() as state:
        key = cache.page_key(opened.settings, stamp, pin.generation, reader.scope, now)
        key = replace(key, has_names=reader.audience is not None and reader.audience.account_names)
        yield PageSession(opened, reader, catalog, key, pin, state, changes, now)


def _viewer(opened: Stores, claims: Mapping[str, Any] | None, catalog: Catalog, now: datetime) -> Viewer:
    if opened.settings.dashboard.open_mode:
        return open_viewer(catalog)
    missing = opened.settings.sign_in.missing
    # Streamlit knows no user where it was told of no provider.
    if claims is None and not missing and st.user.is_logged_in:
        claims = st.user.to_dict()
    reader = signed_in(missing, claims or {}, catalog, now)
    # Kept by the server and asked for at each run: a browser that names somebody is believed of an analyst only.
    chosen = st.session_state.get(SEE_AS) if reader.can_see_as else None
    person = next((person for person in catalog.people if person.name == chosen), None)
    return seen_as(reader, person, catalog) if person else reader


def begin_page(page: str) -> None:
    """Have the choices of a page that is come to follow its address, whatever was chosen on the page before."""
    if st.session_state.get("page-begun") == page:
        return
    st.session_state["page-begun"] = page
    for name in [str(one) for one in st.session_state if str(one).startswith(_SEEN)]:
        del st.session_state[name]


_SEEN: Final = "address-"
"""How the keys begin under which it is kept what the address named when it was looked at last."""


def follow_address(name: str, values: Mapping[str, object], usual: object) -> Callable[[], None]:
    """Have a choice on the page follow its address: a link, a bookmark, and where the Back button leads.

    Args:
        name: of the address's parameter, and the key of the element that stands for it.
        values: what may be chosen, by what the address calls it.
        usual: what is chosen where the address says nothing.

    Returns:
        The element's `on_change`: the address follows what is chosen, and Back leads to what was shown before.
    """
    asked, seen = st.query_params.get(name), f"{_SEEN}{name}"
    text = next((one for one in values if one == asked), None)
    if asked is not None and text is None:
        text = next((one for one in values if one.casefold() == asked.casefold()), None)
    if asked is not None and text is None:
        # A link may be old or mistyped: say so rather than show something else in silence.
        words = f"The {name} in this link, “{asked[:80]}”, does not exist. Showing the default instead."
        st.html(markup.notice(words, attention=True))
    chosen = st.session_state.get(name)
    if name not in st.session_state or asked != st.session_state.get(seen) or chosen not in {usual, *values.values()}:
        st.session_state[name] = usual if text is None else values[text]
    st.session_state[seen] = asked

    def follow() -> None:
        new = st.session_state[name]
        if new == usual:
            st.query_params.pop(name, None)
        else:
            st.query_params[name] = next(one for one, value in values.items() if value == new)
        st.session_state[seen] = st.query_params.get(name)

    return follow


def banners(session: PageSession) -> None:
    """Show what every page says."""
    if lines := banner_lines(session):
        st.html(markup.stacked(*lines))


def banner_lines(session: PageSession) -> list[Markup]:
    """What every page says first: who can see this, what Slack has not been told, which rules are not evaluated."""
    waiting, lost, ill = _troubles(session.key.data, session.changes, session.state)
    lines = [session.viewer.notice] if session.viewer.notice else []
    if session.stores.settings.slack.token is None:
        lines.append("Slack has no token" + (f": {_messages(waiting, 'wait')}." if waiting else "."))
    elif waiting:
        lines.append(f"{_messages(waiting, 'wait')} for Slack.")
    if lost:
        lines.append(f"Slack refused {_messages(lost)}.")
    command, pieces = "python -m triggers outbox --text" if waiting or lost else "", list[Markup]()
    if lines:
        words = " ".join(lines) + (" Read them:" if command else "")
        pieces.append(markup.notice(words, attention=bool(lost), command=command))
    if ill:
        rules = "rule" if ill == 1 else "rules"
        words = f"{count(ill)} {rules} could not be evaluated; incidents that are open stay as they are."
        pieces.append(markup.notice(words, attention=True, command="python -m triggers audit"))
    return pieces


@cache.until_changed
def _troubles(data: str, changes: cache.Changes, _state: Connection) -> tuple[int, int, int]:
    """Messages that wait, messages that Slack refused, rules that could not be evaluated."""
    del data, changes
    return *waiting_and_dead(_state), len({error.rule for error in rule_errors(_state)})


def _messages(number: int, verb: str = "") -> str:
    is_one = number == 1
    words = (count(number), "message" if is_one else "messages", f"{verb}s" if is_one and verb else verb)
    return " ".join(word for word in words if word)
