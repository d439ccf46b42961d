"""The web server: Streamlit's own, with a health check beside the pages."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
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
from dashboard.stores import Health, close, health

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
    routes = [Route("/healthz", _healthz), Route("/incident", _linked), Route("/lab", _linked)]
    return st.App(APP, routes=routes, lifespan=_lifespan)


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
        "server.allowedHosts": sorted({*LOCAL, *([public] if public else [])}),
        "server.fileWatcherType": "none",
        "client.showErrorDetails": "none",
        "browser.gatherUsageStats": False,
    }


async def _linked(_request: Request) -> HTMLResponse:
    """Streamlit's own page, told where its server is: opened by a link below `/` it would ask `/incident` first."""
    return HTMLResponse(_index(), headers={"Cache-Control": "no-cache"})


@cache
def _index() -> str:
    page = (Path(st.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    told = '<script>window.__streamlit = {BACKEND_BASE_URL: new URL(".", window.location.href).href}</script>'
    return page.replace("<head>", f"<head>{told}", 1)


async def _healthz(_request: Request) -> JSONResponse:
    found = await run_in_threadpool(health)
    return JSONResponse(_body(found), status_code=200 if found.is_well else 503)


def _body(found: Health) -> dict[str, Any]:
    published = found.published_at.isoformat() if found.published_at else None
    return {
        "ok": found.is_well,
        "generation": found.generation,
        "published_at": published,
        "state": "reachable" if found.state else "unreachable",
        "problem": found.problem or None,
    }
