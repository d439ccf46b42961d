"""The web server: Streamlit's own, with a health check beside the pages."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from config.errors import EarshotError
from config.settings import Settings, read_settings
from dashboard.navigation import PAGES
from dashboard.stores import close, health

APP = Path(__file__).resolve().parent / "app.py"
LOCAL = ("localhost", "127.0.0.1", "[::1]")


def serve() -> int:
    """Serve until interrupted. Returns the exit status: 0 done, 1 where the settings have mistakes."""
    try:
        settings = read_settings()
    except EarshotError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"dashboard: {settings.dashboard.public_url} (Ctrl+C stops it)\n")
    sys.stdout.flush()
    app().run(config=options(settings))
    return 0


def app() -> st.App:
    """The application, not yet running."""
    # Streamlit's page looks for its server below its own address, and so a link to `/incident` would ask
    # `/incident/_stcore/health` first, wait for that to fail, and only then try `/`.
    script = '<script>window.__streamlit = {BACKEND_BASE_URL: new URL(".", window.location.href).href}</script>'
    page = (Path(st.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    index = HTMLResponse(page.replace("<head>", f"<head>{script}", 1), headers={"Cache-Control": "no-cache"})
    linked = [Route(page.link, index, methods=["GET"]) for page in PAGES if not page.is_first]
    return st.App(APP, routes=[Route("/healthz", _healthz), *linked], lifespan=_lifespan)


@asynccontextmanager
async def _lifespan(_app: st.App) -> AsyncIterator[None]:
    """Close the stores while the server stops: afterwards the process dies of the signal that stopped it."""
    try:
        yield
    finally:
        await run_in_threadpool(close)


def options(settings: Settings) -> dict[str, Any]:
    """Streamlit's options, from ours. In open mode nothing but this machine is listened to."""
    host = "127.0.0.1" if settings.dashboard.open_mode else settings.dashboard.host
    public = urlsplit(settings.dashboard.public_url).hostname
    return {
        "server.address": host,
        "server.port": settings.dashboard.port,
        "server.headless": True,
        # A page of another site could otherwise give its own name our address, and read what we serve.
        "server.allowedHosts": sorted({*LOCAL, *([public] if public else [])}),
        "server.fileWatcherType": "none",
        "client.showErrorDetails": "none",
        "browser.gatherUsageStats": False,
    }


async def _healthz(_request: Request) -> JSONResponse:
    # In a thread of its own: a store that hangs must not keep the pages' event loop waiting.
    state = await run_in_threadpool(health)
    body = {
        "ok": state.is_well,
        "generation": state.generation,
        "published_at": state.published_at.isoformat() if state.published_at else None,
        "state": "reachable" if state.state else "unreachable",
        "problem": state.problem or None,
    }
    return JSONResponse(body, status_code=200 if state.is_well else 503)
