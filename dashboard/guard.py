"""Who may ask the server, and what its answers forbid browsers to do: for pages, files, uploads and sockets alike."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
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


class GuardedApp(st.App):
    """Streamlit's application behind the names that it is served under."""

    def __init__(self, script: Path, settings: DashboardSettings, **rest: Any) -> None:
        super().__init__(script, **rest)
        self.settings = settings

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
            await send(message)

        # Before Streamlit is asked: it would look up on the internet whether a foreign origin is this machine.
        if refusal := _refusal(Headers(scope=scope), self.settings):
            await refusal(scope, receive, forbidding)
        else:
            await super().__call__(scope, receive, forbidding)


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
