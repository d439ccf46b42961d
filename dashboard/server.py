"""The web server: Streamlit's own, with a health check beside the pages."""

import asyncio
import gc
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from streamlit.auth_util import get_origin_from_redirect_uri
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import SessionClient, app_session, get_instance
from streamlit.web.server.starlette import starlette_auth_routes
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from config import EarshotError
from config.settings import Settings, read_settings
from dashboard import memory
from dashboard.accounts import files as account_files
from dashboard.guard import CALLBACK, GuardedApp
from dashboard.navigation import PAGES
from dashboard.review import files
from dashboard.stores import close, health

APP = Path(__file__).resolve().parent / "app.py"
LOOK = APP.parent / "assets" / "look.css"
LOCAL = ("localhost", "127.0.0.1", "[::1]")


def serve() -> int:
    """Serve until interrupted. Returns the exit status: 0 done, 1 where the settings have mistakes."""
    try:
        settings = read_settings()
    except EarshotError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    host = options(settings)["server.address"]
    with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as trying:
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trying.bind((host, settings.dashboard.port))
        except OSError as error:
            todo = "stop what uses it, or choose another: EARSHOT_DASHBOARD__PORT=8791 python -m dashboard"
            sys.stderr.write(f"port {settings.dashboard.port} cannot be had ({error.strerror}); {todo}\n")
            return 1
    sys.stdout.write(f"dashboard: {settings.dashboard.public_url} (Ctrl+C stops it)\n")
    sys.stdout.flush()
    app(settings).run(config=options(settings))
    return 0


def app(settings: Settings) -> GuardedApp:
    """The application, not yet running."""
    # Streamlit's page looks for its server below its own address, and so a link to `/incident` would ask
    # `/incident/_stcore/health` first, wait for that to fail, and only then try `/`.
    script = '<script>window.__streamlit = {BACKEND_BASE_URL: new URL(".", window.location.href).href}</script>'
    page = (Path(st.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    # At the end, after the styles that Streamlit adds to the head: sent once, and not again with each run of a page.
    look = f"<style>{LOOK.read_text(encoding='utf-8')}</style>"
    index = page.replace("<head>", f"<head>{script}", 1).replace("</body>", f"{look}</body>", 1)

    async def linked(_request: Request) -> HTMLResponse:
        # One for each request: what compresses an answer changes its headers in place.
        return HTMLResponse(index, headers={"Cache-Control": "no-cache"})

    base = settings.dashboard.base
    routes = [
        *(Route(f"{path}/healthz", _healthz) for path in {"", base}),
        # Starlette would name the host that the proxy asks, which is none of the reader's.
        *([Route(base, lambda request: RedirectResponse(f"{base}/?{request.url.query}".rstrip("?")))] if base else []),
        Route(f"{base}/files/{{name}}", _file),
        *(Route(f"{base}{page.link}", linked) for page in PAGES),
    ]
    # Kept in memory: Streamlit would read them from a file.
    secrets = {} if settings.dashboard.open_mode or settings.sign_in.missing else {"auth": _provider(settings)}
    pages = [f"{base}{page.link}" for page in PAGES]
    return GuardedApp(APP, settings.dashboard, pages, routes=routes, lifespan=_lifespan, secrets=secrets)


def _provider(settings: Settings) -> dict[str, Any]:
    """What Streamlit is told of who says who a reader is."""
    sign_in = settings.sign_in
    hidden = {"client_secret": sign_in.client_secret, "cookie_secret": sign_in.cookie_secret}
    return {
        "redirect_uri": f"{settings.dashboard.public_url}{CALLBACK}",
        "server_metadata_url": sign_in.metadata_url,
        "client_id": sign_in.client_id,
        # Whoever is signed in with the provider already comes in without being asked again.
        "client_kwargs": {"scope": "openid email", "prompt": ""},
        **{name: secret.get_secret_value() for name, secret in hidden.items() if secret},
    }


class FirstReader(SessionClient):
    """Reads the first page before anybody can, so that whoever comes first does not wait for imports and figures."""

    def __init__(self) -> None:
        self.has_read = asyncio.Event()

    def write_forward_msg(self, msg: ForwardMsg) -> None:
        """Hear what a browser would be sent."""
        if msg.WhichOneof("type") == "script_finished":
            self.has_read.set()

    async def read(self) -> None:
        """Open every page's code, and run the first page."""
        for page in PAGES:
            await run_in_threadpool(import_module, f"dashboard.{page.name}.page")
        runtime, message = get_instance(), BackMsg()
        message.rerun_script.query_string = ""
        session = runtime.connect_session(self, {})
        runtime.handle_backmsg(session, message)
        await self.has_read.wait()
        runtime.close_session(session)


def keep_theme() -> None:
    """Have Streamlit read its theme once: it asks all of its options six times for each run of a page."""
    populate, made = app_session._populate_theme_msg, dict[str, CustomThemeConfig]()  # noqa: SLF001

    def populate_as_before(msg: CustomThemeConfig, section: str = "theme") -> None:
        if section not in made:
            made[section] = CustomThemeConfig()
            populate(made[section], section)
        msg.MergeFrom(made[section])

    app_session._populate_theme_msg = populate_as_before  # noqa: SLF001


@asynccontextmanager
async def _lifespan(_app: st.App) -> AsyncIterator[None]:
    """What goes before the first request and after the last: the server listens from the `yield` on."""
    keep_theme()
    await FirstReader().read()
    # From now on full collections are ours; those of young objects stay Python's, a few times a second at the most.
    gc.set_threshold(50_000, 50, 1_000_000)
    memory.settle()
    collecting = asyncio.create_task(_collect())
    try:
        yield
    finally:
        collecting.cancel()
        # Here, for afterwards the process dies of the signal that stopped it.
        await run_in_threadpool(close)


async def _collect() -> None:
    while True:
        await asyncio.sleep(memory.EVERY_S)
        await run_in_threadpool(memory.collect)


def options(settings: Settings) -> dict[str, Any]:
    """Streamlit's options, from ours. In open mode nothing but this machine is listened to."""
    host = "127.0.0.1" if settings.dashboard.open_mode else settings.dashboard.host
    public = urlsplit(settings.dashboard.public_url).hostname
    return {
        "server.address": host,
        "server.port": settings.dashboard.port,
        "server.baseUrlPath": settings.dashboard.base.strip("/"),
        "server.headless": True,
        # What the guard lets through, said to Streamlit as well: it asks for itself in some places.
        "server.allowedHosts": sorted({*LOCAL, *settings.dashboard.names, *([public] if public else [])}),
        # Known by this, the origin of a page behind a proxy is not looked up on the internet.
        "browser.serverAddress": public,
        "server.fileWatcherType": "none",
        "runner.postScriptGC": False,  # see dashboard.memory
        "client.showErrorDetails": "none",
        "browser.gatherUsageStats": False,
    }


async def _file(request: Request) -> Response:
    # In a thread of its own, as all that reads the stores.
    name = str(request.path_params["name"])
    asked = name, dict(request.query_params), _claims(request)
    of, page = (account_files.sheet_file, "accounts") if name in account_files.SHEETS else (files.answer, "review")
    refused = next(one.refused for one in PAGES if one.name == page)
    try:
        return await run_in_threadpool(lambda: of(*asked, refused))
    except EarshotError as error:
        return PlainTextResponse(f"{error}\n", status_code=403)


def _claims(request: Request) -> dict[str, Any]:
    """What the provider said of whoever asks, as Streamlit's own cookie holds it; nothing where nobody signed in."""
    kept = starlette_auth_routes._get_cookie_value_from_request(request, USER_COOKIE_NAME)  # noqa: SLF001
    claims: dict[str, Any] = json.loads(kept) if kept else {}
    return claims if claims.get("origin") == get_origin_from_redirect_uri() else {}


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
