"""Who may ask the server, what its answers forbid browsers to do, and where signing in leads back to.

For pages, files, uploads and sockets alike.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from config.settings import DashboardSettings, is_loopback

FORBIDDING: Final[Mapping[str, str]] = {
    # A page of another site that shows ours under its own can have a reader click what he does not see.
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Addresses name incidents: whoever is linked to does not learn them.
    "Referrer-Policy": "same-origin",
}
NOT_SERVED: Final = (
    "Earshot is not served under this name. Open the address in dashboard.public_url, "
    "or add the name to dashboard.names in config/settings.toml.\n"
)
NOT_OURS: Final = "A page of another site asked for this. Earshot answers its own pages only.\n"


CALLBACK: Final = "/oauth2callback"
"""Where the provider sends back whoever signed in; Streamlit answers it."""
ASKED: Final = "earshot-asked"
"""The cookie that holds the page somebody asked for before signing in."""
ASKED_S: Final = 600
"""How many seconds it is kept."""
ASKED_MOST: Final = 1500
"""How many characters long it may be: browsers drop longer cookies."""


class GuardedApp(st.App):
    """Streamlit's application behind the names that it is served under.

    Whoever signs in comes to the page asked for before, where that is one of `pages` (their paths).
    """

    def __init__(self, script: Path, settings: DashboardSettings, pages: Collection[str] = (), **rest: Any) -> None:
        super().__init__(script, **rest)
        self.settings, self.pages = settings, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what may be asked, and forbid browsers what nobody needs in every answer."""
        if scope["type"] not in {"http", "websocket"}:
            await super().__call__(scope, receive, send)
            return

        accepted = False

        async def forbidding(message: Message) -> None:
            nonlocal accepted
            if message["type"] == "websocket.close" and not accepted:
                # The server would answer by itself, without these headers.
                accepted = True
                await PlainTextResponse("No socket is here.\n", status_code=403)(scope, receive, forbidding)
                return
            if message["type"] in {"http.response.start", "websocket.accept", "websocket.http.response.start"}:
                accepted = True
                # A copy: whoever sends may send the same list again.
                message = {**message, "headers": list(message.get("headers", []))}
                headers = MutableHeaders(scope=message)
                for name, value in FORBIDDING.items():
                    headers[name] = value
                self._lead_back(scope, headers)
                if urlsplit(self.settings.public_url).scheme == "https":
                    message["headers"] = [_encrypted(*header) for header in message["headers"]]
            await send(message)

        # Before Streamlit is asked: it would look up on the internet whether a foreign origin is this machine.
        refusal = _refusal(Headers(scope=scope), self.settings)
        # Whoever has the address of a file of Streamlit's gets it; files of ours ask who wants them.
        if not refusal and not self.settings.open_mode and scope["path"].startswith(f"{self.settings.base}/media/"):
            refusal = PlainTextResponse("There is no such file.\n", status_code=404)
        if refusal:
            await refusal(scope, receive, forbidding)
        else:
            await super().__call__(scope, receive, forbidding)

    def _lead_back(self, scope: Scope, headers: MutableHeaders) -> None:
        """Note the page that is asked for; after signing in lead to it, where Streamlit would lead to the first."""
        if scope["type"] != "http" or self.settings.open_mode:
            return
        request = Request(scope)
        if request.url.path in self.pages and request.method == "GET":
            asked = urlsafe_b64encode(f"{request.url.path}?{request.url.query}".encode()).decode()
            kept, age = (asked, ASKED_S) if len(asked) <= ASKED_MOST else ("", 0)
            headers.append("set-cookie", f"{ASKED}={kept}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax")
        elif request.url.path == f"{self.settings.base}{CALLBACK}" and self._is_first(headers.get("location", "")):
            headers["location"] = self._asked(request.cookies.get(ASKED, ""))
            headers.append("set-cookie", f"{ASKED}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")

    def _asked(self, cookie: str) -> str:
        """The page in the cookie, which a browser may have been talked into: one of ours, or the first."""
        first = f"{self.settings.base}/"
        try:
            path, _, query = urlsafe_b64decode(cookie).decode("ascii").partition("?")
        except ValueError:
            return first
        is_ours = path in self.pages and query.isprintable()
        return f"{path}?{query}".rstrip("?") if is_ours else first

    def _is_first(self, address: str) -> bool:
        return address.startswith("/") and address.rstrip("/") == self.settings.base


def _encrypted(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """A header that has the browser send a cookie over TLS alone: whoever reads a sign-in on its way has it."""
    is_open = name.lower() == b"set-cookie" and b"; secure" not in value.lower()
    return name, value + b"; Secure" if is_open else value


def _refusal(headers: Headers, settings: DashboardSettings) -> PlainTextResponse | None:
    public = urlsplit(settings.public_url)
    host, origin = headers.get("host", ""), headers.get("origin")
    name = _name(host)
    # A page of another site can give its own name our address, and would then be of our origin.
    if not (is_loopback(name) or name in {_name(public.netloc), *settings.names}):
        return PlainTextResponse(NOT_SERVED, status_code=421)
    # A proxy that ends TLS may pass on another Host than the reader's browser names as the origin.
    if origin is not None and urlsplit(origin).netloc not in {host, public.netloc}:
        return PlainTextResponse(NOT_OURS, status_code=403)
    return None


def _name(place: str) -> str:
    """The host of `host:port`, and nothing where that is none."""
    try:
        parts = urlsplit(f"//{place}")
        is_plain = parts.netloc == place and parts.username is None and parts.port != 0
    except ValueError:
        return ""
    return (parts.hostname or "").rstrip(".") if is_plain else ""
