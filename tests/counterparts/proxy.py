"""A fault and limit proxy before the Slack emulator.

It plays Slack's part with pictures, which the emulator does not know: a block may show a file only once files.info has
told its type, which it does not at first.

It passes each call on, holds it to Slack's limits (limits.py), and can go wrong on command: `plan` queues faults for
the next calls of one method, `choose` decides per call. Every call is kept in `calls`, also those not passed on.
"""

import http.client
import json
import os
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from tests.counterparts.limits import refusal

JSON: Final = "application/json"
UNTYPED: Final = 1
"""So often files.info does not know a file's type yet."""
_INVALID_FILE: Final = "[ERROR] invalid slack file [json-pointer:/blocks/2/slack_file]"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the caller."""

    status: int
    body: bytes
    kind: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one call.

    Args:
        forward: whether Slack gets the call: before the caller is answered, never, or `seconds` after.
        ending: answer whole, close without a byte, reset the connection, or close after half of the body.
        seconds: how long the caller waits (forward now or never), or how late the commit is (forward late).
        answer: sent in place of Slack's.
    """

    forward: Literal["now", "never", "late"] = "now"
    ending: Literal["answer", "close", "reset", "half"] = "answer"
    seconds: float = 0.0
    answer: Answer | None = None


def dropped() -> Fault:
    """Stored, and the answer is lost."""
    return Fault(ending="close")


def hang(seconds: float, *, stored: bool) -> Fault:
    """No byte for `seconds`, then the connection closes."""
    return Fault("now" if stored else "never", "close", seconds)


def reset(*, stored: bool) -> Fault:
    """The connection is reset (ECONNRESET)."""
    return Fault("now" if stored else "never", "reset")


def truncated() -> Fault:
    """Stored, and the answer stops in the middle."""
    return Fault(ending="half")


def late(seconds: float) -> Fault:
    """The connection closes at once, Slack stores the message `seconds` later."""
    return Fault("late", "close", seconds)


def html(*, stored: bool) -> Fault:
    """A 200 with a page in it, as captive portals and broken gateways send."""
    page = Answer(200, b"<html><body>Please sign in</body></html>", "text/html")
    return Fault("now" if stored else "never", answer=page)


def rate_limited(retry_after: int) -> Fault:
    """429, not stored."""
    body = json.dumps({"ok": False, "error": "ratelimited"}).encode()
    return Fault("never", answer=Answer(429, body, headers={"Retry-After": str(retry_after)}))


def server_error(status: int = 500, *, stored: bool) -> Fault:
    """A 5xx that says nothing about whether the message was stored."""
    return Fault("now" if stored else "never", answer=Answer(status, b"upstream error", "text/plain"))


def slack_error(error: str, *, stored: bool = False) -> Fault:
    """A 200 with ok=false, such as channel_not_found or internal_error."""
    return Fault("now" if stored else "never", answer=_error(error))


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the caller sent it. `body` holds the form, query or JSON fields."""

    method: str
    token: str
    body: Mapping[str, Any]

    @property
    def shown_files(self) -> set[str]:
        """The files that its blocks show."""
        raw = self.body.get("blocks") or []
        blocks = json.loads(raw) if isinstance(raw, str) else raw
        return {block["slack_file"]["id"] for block in blocks if "slack_file" in block}


@dataclass(slots=True)
class FaultProxy:
    """`base_url` goes to `WebClient(base_url=...)`. Faults queued with `plan` come first, then what `choose` says."""

    upstream: str
    calls: list[Call] = field(default_factory=list)
    choose: Callable[[Call], Fault | None] = lambda _call: None
    port: int = 0
    takes_pictures: bool = True
    asked: Counter[str] = field(default_factory=Counter)
    typed: set[str] = field(default_factory=set)
    _planned: dict[str, deque[Fault | None]] = field(default_factory=dict)
    _server: ThreadingHTTPServer | None = None
    _late: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/"

    def plan(self, method: str, *faults: Fault | None) -> None:
        """Queues what happens to the next calls of `method`; None lets one pass."""
        self._planned.setdefault(method, deque()).extend(faults)

    def count(self, method: str) -> int:
        return sum(call.method == method for call in self.calls)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Nothing listens on the port: connection refused."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def settle(self) -> None:
        """Waits until every late commit has happened."""
        for thread in self._late:
            thread.join()

    def start(self) -> None:
        server = _Server(("127.0.0.1", self.port), _handler(self))
        self._server, self.port = server, server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def fault(self, call: Call) -> Fault:
        """Keeps the call and says what happens to it."""
        with self._lock:
            self.calls.append(call)
            planned = self._planned.get(call.method)
            chosen = planned.popleft() if planned else self.choose(call)
        if error := refusal(call.method, call.body):
            return Fault("never", answer=_error(error))
        if call.shown_files and not (self.takes_pictures and call.shown_files <= self.typed):
            said = {"ok": False, "error": "invalid_blocks", "response_metadata": {"messages": [_INVALID_FILE]}}
            return Fault("never", answer=Answer(200, json.dumps(said).encode()))
        return chosen or Fault()

    def as_slack(self, call: Call, answer: Answer) -> Answer:
        """What Slack does otherwise than the emulator."""
        if call.method == "files.getUploadURLExternal":
            return replace(answer, body=answer.body.replace(_origin(self.upstream), _origin(self.base_url)))
        content = json.loads(answer.body) if call.method == "files.info" else {}
        if call.method == "files.delete":
            self.typed.discard(str(call.body["file"]))
        if "file" in content:
            id_ = content["file"]["id"]
            self.asked[id_] += 1
            if self.asked[id_] > UNTYPED:
                self.typed.add(id_)
            else:
                content["file"] |= {"mimetype": "", "filetype": ""}
            return replace(answer, body=json.dumps(content).encode())
        return _strict(call, answer)

    def later(self, seconds: float, commit: Callable[[], Answer]) -> None:
        thread = threading.Timer(seconds, commit)
        thread.daemon = True
        self._late.append(thread)
        thread.start()


@contextmanager
def before(upstream: str) -> Iterator[FaultProxy]:
    """A proxy on a free loopback port that passes calls on to `upstream` (a base_url ending in /api/)."""
    proxy = FaultProxy(upstream)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.settle()
        proxy.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is what half of the tests are about."""


def _handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            call = _call(self, raw)
            fault = proxy.fault(call)
            _end(self, fault, self._pass(fault, call, raw))

        do_GET = do_POST  # noqa: N815

        def _pass(self, fault: Fault, call: Call, raw: bytes) -> Answer:
            verb, path, headers = self.command, self.path, dict(self.headers)

            def commit() -> Answer:
                return proxy.as_slack(call, _upstream(proxy.upstream, verb, path, headers, raw))

            if fault.forward == "late":
                proxy.later(fault.seconds, commit)
            answer = commit() if fault.forward == "now" else _error("fatal_error")
            return fault.answer or answer

        def log_message(self, *_args: object) -> None:
            pass

    return Handler


def _call(handler: BaseHTTPRequestHandler, raw: bytes) -> Call:
    url = urlsplit(handler.path)
    if url.path.startswith("/upload/"):
        return Call("upload", "", {"bytes": len(raw)})
    if JSON in handler.headers.get("Content-Type", ""):
        body = json.loads(raw or b"{}")
    else:
        body = dict(parse_qsl(raw.decode() or url.query))
    token = handler.headers.get("Authorization", "").removeprefix("Bearer ")
    return Call(url.path.removeprefix("/api/"), token, body)


def _upstream(base: str, verb: str, path: str, headers: Mapping[str, str], raw: bytes) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=30)
    try:
        connection.request(verb, path, raw, {**headers, "Connection": "close"})
        response = connection.getresponse()
        return Answer(response.status, response.read(), response.headers.get_content_type())
    finally:
        connection.close()


def _origin(url: str) -> bytes:
    return f"//{urlsplit(url).netloc}/".encode()


def _strict(call: Call, answer: Answer) -> Answer:
    """Slack shows metadata only to those who ask for it; the emulator shows it to all."""
    asked = str(call.body.get("include_all_metadata", "")).lower() in ("1", "true")
    if asked or not call.method.startswith("conversations."):
        return answer
    content = json.loads(answer.body)
    for message in content.get("messages", []):
        message.pop("metadata", None)
    return replace(answer, body=json.dumps(content).encode())


def _error(error: str) -> Answer:
    return Answer(200, json.dumps({"ok": False, "error": error}).encode())


def _end(handler: BaseHTTPRequestHandler, fault: Fault, answer: Answer) -> None:
    if fault.forward != "late":
        threading.Event().wait(fault.seconds)
    if fault.ending == "reset":
        _reset(handler.connection)
    elif fault.ending != "close":
        body = answer.body[: len(answer.body) // 2] if fault.ending == "half" else answer.body
        _write(handler, answer, body)


def _write(handler: BaseHTTPRequestHandler, answer: Answer, body: bytes) -> None:
    with suppress(ConnectionError):
        handler.send_response(answer.status)
        handler.send_header("Content-Type", answer.kind)
        handler.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)


def _reset(connection: socket.socket) -> None:
    """Closing with a zero linger sends RST, not FIN. Detached, because the server's own close would send FIN first."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())
