"""Slack with people in it, as far as the tests need it: npm's local-slack, on loopback, driven as a human would.

What local-slack 0.1.8 does, tried out and held by test_listen:

- Works: Socket Mode (hello, interactive, events_api, ping and pong), auth.test, chat.postMessage, .update, .delete,
  .postEphemeral, conversations.history, .replies, .info, views.open. An envelope goes to every connection.
- As the human: `press` (buttons and lists), `submit` (the open form), `react`; `messages` is what a channel shows.
- Does not check tokens, scopes or blocks, keeps no metadata, has no reactions.get, and forgets everything when it ends.
- It listens on all interfaces: there is nothing in it but what a test put there.
"""

import json
import logging
import re
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from slack_sdk.socket_mode.builtin.connection import Connection
from slack_sdk.socket_mode.client import BaseSocketModeClient

HERE: Final = Path(__file__).parent
BINARY: Final = HERE / "node_modules" / "local-slack-linux-x64" / "bin" / "local-slack"
TOKEN, APP_TOKEN, BOT = "xoxb-earshot-tests", "xapp-earshot-tests", "U0EARSHOT"
CHANNEL: Final = "C000000104"
MEMBERS: Final[Mapping[str, str]] = {"ana": "U000000100", "ben": "U000000101", "stranger": "U000000199"}
QUIET: Final = logging.getLogger("tests.human")


@dataclass
class Workspace:
    """A running workspace, which can be killed and started again in the same place."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    kept: list[str] = field(default_factory=list)
    seen: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/"

    def start(self) -> None:
        file = self.folder / "workspace.json"
        file.write_text(json.dumps(_config()))
        command = [str(BINARY), "--config", str(file), "--port", str(self.port), "--base-host", "127.0.0.1"]
        command += ["--files-dir", str(self.folder / "files")]
        self.seen = 0
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, 20)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def messages(self, channel: str = CHANNEL) -> list[dict[str, Any]]:
        """What stands in a channel, threads and what only one person sees included, oldest first."""
        found: list[dict[str, Any]] = self._get(f"messages/{channel}")["messages"]
        return found

    def whispers(self, user: str, channel: str = CHANNEL) -> list[str]:
        """What only one person sees."""
        return [m["text"] for m in self.messages(channel) if m.get("ephemeral_to") == MEMBERS[user]]

    def traffic(self) -> list[dict[str, Any]]:
        """What went to and fro since the last reset, oldest first."""
        found: list[dict[str, Any]] = self._get("log")["log"]
        return found[self.seen :]

    def reset(self) -> None:
        """The workspace as it began, without messages."""
        self._post("reset", {})
        self.seen = len(self._get("log")["log"])

    def press(
        self, user: str, action: str, *, choice: str | None = None, message: Mapping[str, Any] | None = None
    ) -> None:
        """Press a button of a message (of the newest that has it), there or in its menu, or choose from a list."""
        shown = message or next(m for m in reversed(self.messages()) if _element(m, action))
        element = dict(_element(shown, action) or {})
        if choice is not None:
            element["selected_option"] = next(o for o in element["options"] if o["value"] == choice)
        body = {"channel": CHANNEL, "messageTs": shown["ts"], "user": MEMBERS[user], "action": element}
        self._post("interact", body)

    def react(self, user: str, name: str, ts: str) -> None:
        self._post("reaction", {"channel": CHANNEL, "ts": ts, "user": MEMBERS[user], "name": name})

    def submit(self, user: str, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Send the open form, by the way that the page takes. `values` are elements by field."""
        page = Connection(f"ws://127.0.0.1:{self.port}/ui", QUIET, on_message_listener=self.kept.append)
        page.connect()
        fields = {name: {name: element} for name, element in values.items()}
        page.send(json.dumps({"t": "view_submit", "user": MEMBERS[user], "values": fields}))
        time.sleep(0.2)
        page.close()

    def forms(self) -> list[dict[str, Any]]:
        """The forms that were opened, oldest first."""
        return [one["detail"]["view"] for one in self.traffic() if one["summary"] == "views.open"]

    def _answers(self) -> bool:
        try:
            return bool(self._get("state"))
        except OSError:
            return False

    def _get(self, what: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_control/{what}", timeout=5) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def _post(self, what: str, body: Mapping[str, Any]) -> None:
        address = f"http://127.0.0.1:{self.port}/_control/{what}"
        request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()


def _config() -> dict[str, Any]:
    app = {"appId": "A0EARSHOT", "botUserId": BOT, "botName": "earshot", "botToken": TOKEN, "appToken": APP_TOKEN}
    users = [{"id": id_, "name": name, "email": f"{name}@example.com"} for name, id_ in MEMBERS.items()]
    channel = {"id": CHANNEL, "name": "service-quality", "members": [BOT, *MEMBERS.values()]}
    return {"workspace": {"name": "Tests"}, "apps": [{**app, "mode": "socket"}], "users": users, "channels": [channel]}


def _element(message: Mapping[str, Any], action: str) -> Mapping[str, Any] | None:
    for block in message.get("blocks") or ():
        for element in block.get("elements") or ():
            if element.get("action_id") == action:
                return {**element, "block_id": block["block_id"]}
            if element.get("type") == "overflow":
                chosen = next((option for option in element["options"] if option["value"] == action), None)
                if chosen:
                    return {**element, "block_id": block["block_id"], "selected_option": chosen}
    return None


def until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until something holds, however busy the machine is; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@dataclass
class Wire:
    """A wire to the workspace. Its first `deaf` connections stay up, take everything and give nothing back."""

    port: int
    deaf: int = 0
    connections: int = 0


@contextmanager
def wire(port: int) -> Iterator[Wire]:
    """A wire from a free port to a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Wire(server.getsockname()[1])
        threading.Thread(target=_accept, args=(server, port, made), daemon=True).start()
        yield made


def _accept(server: socket.socket, port: int, made: Wire) -> None:
    while True:
        try:
            near, _ = server.accept()
        except OSError:
            return
        made.connections += 1
        far = socket.create_connection(("127.0.0.1", port))
        threading.Thread(target=_pump, args=(near, far, lambda: False), daemon=True).start()
        number = made.connections
        threading.Thread(target=_pump, args=(far, near, partial(_is_deaf, made, number)), daemon=True).start()


def _is_deaf(made: Wire, number: int) -> bool:
    return number <= made.deaf


def _pump(source: socket.socket, target: socket.socket, loses: Callable[[], bool]) -> None:
    with suppress(OSError), source, target:
        while data := source.recv(65536):
            if not loses():
                target.sendall(data)


@contextmanager
def rerouted(patch: pytest.MonkeyPatch, through: Wire) -> Iterator[None]:
    """Socket Mode goes through a wire: the workspace names its own port when it is asked where to connect."""
    issue = BaseSocketModeClient.issue_new_wss_url
    where = re.compile(r"(?<=127\.0\.0\.1:)[0-9]+")
    patch.setattr(BaseSocketModeClient, "issue_new_wss_url", lambda self: where.sub(str(through.port), issue(self)))
    yield


def missing() -> str | None:
    """Why it cannot run here, or None."""
    if not BINARY.is_file():
        return "local-slack is not installed: npm ci --prefix tests/counterparts"
    return None


@contextmanager
def running(folder: Path) -> Iterator[Workspace]:
    """Starts it on a free port; it ends with the `with`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workspace = Workspace(folder, port)
    workspace.start()
    try:
        yield workspace
    finally:
        workspace.kill()
