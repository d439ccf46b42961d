"""People who sign in and read without a browser: everything that the server sends them, over HTTP and the socket."""

import re
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_connection, socket
from time import monotonic, sleep
from typing import Final, Self
from urllib.parse import urlencode, urljoin, urlsplit

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.counterparts import oidc
from tests.counterparts.front import front
from tests.support import dashboards
from tests.support.small_company import Company

_FORM: Final = re.compile(r'<form[^>]*action="([^"]+)"')


@dataclass(frozen=True)
class Site:
    """A company's dashboard that people sign in to."""

    company: Company
    url: str

    @property
    def routing(self) -> Path:
        """Where its people are configured."""
        return self.company.config / "routing.toml"


@contextmanager
def serving(company: Company, unverified: Collection[str] = (), base: str = "", seconds: int = 3600) -> Iterator[Site]:
    """Serve a company whose people sign in with a real provider.

    Args:
        company: whose pages.
        unverified: the addresses that the provider has not verified.
        base: the path below which a proxy serves the pages; without one there is no proxy.
        seconds: how long a sign-in holds.
    """
    with ExitStack() as stack:
        port = _free_port()
        before = stack.enter_context(front(base, port)) if base else port
        url = f"http://127.0.0.1:{before}{base}"
        provider = stack.enter_context(oidc.provider(f"{url}/oauth2callback", unverified, seconds))
        environ = {
            "EARSHOT_DASHBOARD__OPEN_MODE": "false",
            "EARSHOT_DASHBOARD__PORT": str(port),
            "EARSHOT_DASHBOARD__PUBLIC_URL": url,
            "EARSHOT_SIGN_IN__METADATA_URL": f"{provider}/.well-known/openid-configuration",
            "EARSHOT_SIGN_IN__CLIENT_ID": oidc.CLIENT["id"],
            "EARSHOT_SIGN_IN__CLIENT_SECRET": oidc.CLIENT["secret"],
            "EARSHOT_SIGN_IN__COOKIE_SECRET": "a secret of the tests, long enough for a cookie",
        }
        process = dashboards.start({**company.environ, **environ}, None)
        try:
            _await(port)
            yield Site(company, url)
        finally:
            process.terminate()
            process.join(20)
            assert process.exitcode is not None


def _free_port() -> int:
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _await(port: int) -> None:
    until = monotonic() + 120
    while True:
        try:
            assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=20, trust_env=False).status_code == 200
        except httpx.TransportError:
            assert monotonic() < until, "the dashboard did not start"
            sleep(0.2)
        else:
            return


@dataclass
class Reader:
    """Whoever reads at an address, with the cookies that a browser would have; `sent` is all that came."""

    url: str
    web: httpx.Client = field(default_factory=lambda: httpx.Client(follow_redirects=True, timeout=60, trust_env=False))
    sent: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.web.close()

    def get(self, path: str) -> httpx.Response:
        """An answer of the server's."""
        answer = self.web.get(urljoin(f"{self.url}/", path.lstrip("/")))
        self.sent.append(answer.content)
        return answer

    @contextmanager
    def tab(self) -> Iterator["ReaderTab"]:
        """A page that is open: one session of Streamlit's."""
        parts, token = urlsplit(self.url), self.web.get(f"{self.url}/_stcore/health").cookies.get("_streamlit_xsrf")
        token = token or self.web.cookies.get("_streamlit_xsrf")
        # Without the token that the page's own script sends along, nobody is believed to be signed in.
        protocols = [Subprotocol("streamlit"), *([Subprotocol(token)] if token else [])]
        cookies = "; ".join(f"{one.name}={one.value}" for one in self.web.cookies.jar)
        raw = create_connection((parts.hostname or "", parts.port or 80))
        address = f"ws://{parts.netloc}{parts.path}/_stcore/stream"
        headers = {"Cookie": cookies, "Origin": f"http://{parts.netloc}"}
        with connect(
            address, sock=raw, subprotocols=protocols, additional_headers=headers, max_size=None, open_timeout=60
        ) as opened:
            yield ReaderTab(self, opened)

    def sign_in(self, email: str, page: str = "", **query: str) -> str:
        """From a page that asks for it, over the provider's own pages; the address that it leads back to."""
        self.get(f"{page}?{urlencode(query)}".rstrip("?"))
        with self.tab() as tab:
            asked = tab.run(page, **query)
            pressed = next(one for one in buttons(asked) if one.label.startswith("Sign in"))
            leading = tab.run(page, pressed=pressed.id, **query)
        to = next(one.auth_redirect.url for one in leading if one.HasField("auth_redirect"))
        answer = self.web.get(urljoin(self.url, to))
        # The address first, then the consent of whom has not given it.
        while "/interaction/" in str(answer.url):
            form = {"prompt": "login", "login": email, "password": "any"}
            given = form if 'name="login"' in answer.text else {"prompt": "consent"}
            action = _FORM.search(answer.text)
            answer = self.web.post(urljoin(str(answer.url), action[1] if action else ""), data=given)
        self.sent.append(answer.content)
        return str(answer.url)

    def got(self, word: str) -> bool:
        """Whether a word was among what came."""
        return any(word.encode() in part for part in self.sent)


@dataclass
class ReaderTab:
    """A page that somebody has open; `filled` are the numbers that stand in its fields, by their ids."""

    reader: Reader
    socket: ClientConnection
    filled: dict[str, float] = field(default_factory=dict)

    def run(self, page: str = "", pressed: str = "", **query: str) -> list[ForwardMsg]:
        """One run of a page, with a button pressed, and all that it sends."""
        message = BackMsg()
        message.rerun_script.query_string = urlencode(query)
        message.rerun_script.page_name = page
        for id_, number in self.filled.items():
            message.rerun_script.widget_states.widgets.add(id=id_, double_value=number)
        if pressed:
            message.rerun_script.widget_states.widgets.add(id=pressed, trigger_value=True)
        self.socket.send(message.SerializeToString())
        sent = list[ForwardMsg]()
        while not sent or sent[-1].WhichOneof("type") != "script_finished":
            raw = self.socket.recv(timeout=60)
            self.reader.sent.append(raw if isinstance(raw, bytes) else raw.encode())
            sent.append(ForwardMsg.FromString(self.reader.sent[-1]))
        return sent


def buttons(sent: list[ForwardMsg]) -> list[ForwardMsg]:
    """The buttons of a page."""
    return [one.delta.new_element.button for one in sent if one.delta.new_element.HasField("button")]


def words(sent: list[ForwardMsg]) -> str:
    """The HTML of a page."""
    return "\n".join(one.delta.new_element.html.body for one in sent if one.delta.new_element.HasField("html"))
