"""The process that hears what people press in Slack, over Socket Mode.

Slack's threads keep what arrives and then say that it arrived; the main thread does what it means. Slack does not send
a press again, and a connection can go deaf without an error: one that has not said hello, gives no pong or has been
silent for an hour is built anew. What is lost all the same can be done by a reaction, in the dashboard or by command.

People and routes are followed while analysts edit them: who was added a moment ago can press.
"""

import logging
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic, sleep, time
from typing import Any, Final

from slack_sdk import WebClient
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from sqlalchemy import Engine

from config import EarshotError
from config.settings import SlackSettings
from queries.messages import inbox, record_heartbeat
from triggers.rules import Rules
from triggers.slack.interaction_handler import InteractionHandler
from triggers.slack.interactions import form_errors, key, read_interaction

log: Final = logging.getLogger("triggers")
_QUIET: Final = logging.getLogger("triggers.slack.socket_mode.sdk")
_QUIET.setLevel(logging.CRITICAL + 1)
"""slack_sdk would log what Slack sent."""

HEARTBEAT: Final = "listener"
HELLO_S: Final = 10.0
PING_S: Final = 5.0
PONGS_MISSED: Final = 4
SILENT_S: Final = 3600.0
BEAT_S: Final = 10.0
TURN_S: Final = 1.0
BACK_OFF_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class NoAppTokenError(EarshotError):
    """Nothing can be heard from Slack without an app token."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """Signs of life of one connection: seconds since it was begun, since its last message and since its last pong.

    None for what never came.
    """

    age_s: float
    message_s: float | None
    pong_s: float | None
    is_connected: bool


def deaf(pulse: Pulse, ping_s: float = 5.0) -> str | None:
    """Why a connection has to be built anew; None while it is sound."""
    if not pulse.is_connected:
        return "closed"
    if pulse.message_s is None:
        return "no hello" if pulse.age_s > HELLO_S else None
    silence = pulse.age_s if pulse.pong_s is None else pulse.pong_s
    if silence > max(ping_s * PONGS_MISSED, HELLO_S):
        return "no pong"
    return "silent for an hour" if pulse.message_s > SILENT_S else None


class Connection:
    """One Socket Mode connection. `keep` is called with what arrives and returns what Slack is answered, or raises."""

    def __init__(self, settings: SlackSettings, keep: Callable[[SocketModeRequest], Mapping[str, Any] | None]) -> None:
        if settings.app_token is None:
            raise NoAppTokenError("no Slack app token; set EARSHOT_SLACK__APP_TOKEN (docs/how-to/send-to-slack.md)")
        token = settings.app_token.get_secret_value()
        timeout = max(1, round(settings.timeout_s))
        web = WebClient(base_url=settings.base_url, timeout=timeout, retry_handlers=[], logger=_QUIET)
        # Its own reconnecting asks Slack anew every 5 seconds without end, and takes no pong at all for a sound one.
        quietly: dict[str, Any] = {"logger": _QUIET, "ping_interval": PING_S, "auto_reconnect_enabled": False}
        self._client = SocketModeClient(app_token=token, web_client=web, concurrency=4, **quietly)
        self._client.socket_mode_request_listeners.append(self._heard)
        self._client.message_listeners.append(self._noted)
        self._keep, self._begun, self._message = keep, monotonic(), None

    _message: float | None

    def open(self) -> None:
        """Raises what slack_sdk raises where Slack does not let us in."""
        self._client.connect()

    def close(self) -> None:
        """End it, with the threads that serve it. Without the shutdown they would first wait for 3 seconds."""
        session = self._client.current_session
        wire = session.sock if session else None
        self._client.current_session_state.terminated = True
        if wire is not None:
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)
        self._client.close()

    def pulse(self) -> Pulse:
        """How it is."""
        session, now = self._client.current_session, monotonic()
        pong = session.last_ping_pong_time if session else None
        message = now - self._message if self._message is not None else None
        alive = self._client.is_connected()
        return Pulse(now - self._begun, message, time() - pong if pong else None, alive)

    def _noted(self, *_: Any) -> None:
        self._message = monotonic()

    def _heard(self, client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        """Kept first: where that fails Slack gets no answer, and whoever pressed is told by Slack."""
        answer = self._keep(request)
        client.send_socket_mode_response(SocketModeResponse(request.envelope_id, dict(answer) if answer else None))


def try_socket(settings: SlackSettings) -> str | None:
    """Open a connection, wait for Slack's hello, and close it. Why it does not work, or None."""
    made = Connection(settings, lambda _: None)
    try:
        made.open()
        until = monotonic() + HELLO_S
        while monotonic() < until and made.pulse().is_connected and made.pulse().message_s is None:
            sleep(0.05)
        pulse = made.pulse()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is asked for
        return _why(error)
    finally:
        made.close()
    if pulse.message_s is not None:
        return None
    return "no hello" if pulse.is_connected else "not connected"


class SocketListener:
    """What hears Slack: it keeps a connection, keeps what arrives, and has it answered."""

    def __init__(
        self, settings: SlackSettings, states: Engine, answering: InteractionHandler, say: Callable[[str], None]
    ) -> None:
        self._settings, self._states, self._answering, self._say = settings, states, answering, say
        self._ended, self._arrived = threading.Event(), threading.Event()
        self._connection: Connection | None = None
        self._failures, self._retry_at, self._beaten_at, self._looked_at = 0, 0.0, -BEAT_S, -TURN_S
        self._refused = ""

    @property
    def hears(self) -> bool:
        """Whether Slack has said hello and gives signs of life. Only then is there a heartbeat."""
        pulse = self._connection.pulse() if self._connection else None
        return pulse is not None and pulse.message_s is not None and deaf(pulse, PING_S) is None

    def forever(self, current: Callable[[], Rules]) -> None:
        """Listen until the process is asked to end; what has arrived is done first. `current`: see `listen`."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: self.end())
        self.listen(current)
        self._say("ended")

    def end(self) -> None:
        """Have `listen` return."""
        self._ended.set()
        self._arrived.set()

    def listen(self, current: Callable[[], Rules] | None = None) -> None:
        """Listen until `end` is called. `current` gives the rules as they are, where they may change meanwhile."""
        if self._settings.app_token is None:
            raise NoAppTokenError("no Slack app token; set EARSHOT_SLACK__APP_TOKEN (docs/how-to/send-to-slack.md)")
        try:
            while not self._ended.is_set():
                self._follow(current)
                self._tend()
                self._work()
                self._beat()
                self._arrived.wait(TURN_S)
                self._arrived.clear()
            self._work()
        finally:
            self._close()

    def _follow(self, current: Callable[[], Rules] | None) -> None:
        """Answer by the rules as they are now. Not at each press: a file is at rest when two looks find it the same."""
        if current is None or monotonic() - self._looked_at < TURN_S:
            return
        self._looked_at = monotonic()
        try:
            rules = current()
        except Exception:  # whatever is wrong with the files, who presses is answered by the rules from before
            log.exception("the configuration could not be looked at; the next turn tries again")
            return
        self._answering, self._refused = replace(self._answering, catalog=rules.catalog), rules.refused

    def _work(self) -> None:
        try:
            self._answering.everything()
        except Exception:  # a lost database must not end the listening
            log.exception("what arrived could not be read; the next turn tries again")

    def _tend(self) -> None:
        """Build the connection where there is none, and anew where it is deaf."""
        if self._connection is not None and (why := deaf(self._connection.pulse(), PING_S)):
            log.warning("the connection to Slack is dead (%s); reconnecting", why)
            self._close()
            self._later()
        if self._connection is None and monotonic() >= self._retry_at:
            made = Connection(self._settings, self._keep)
            try:
                made.open()
            except Exception as error:  # noqa: BLE001 - whatever it is, another try is what helps
                log.warning("Socket Mode does not connect: %s", _why(error))
                made.close()
                self._later()
            else:
                self._connection = made
        elif self.hears:
            self._failures = 0

    def _later(self) -> None:
        wait = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
        self._failures, self._retry_at = self._failures + 1, monotonic() + wait

    def _close(self) -> None:
        made, self._connection = self._connection, None
        if made is not None:
            made.close()

    def _beat(self) -> None:
        if not self.hears or monotonic() - self._beaten_at < BEAT_S:
            return
        note = f"listening; {self._refused}" if self._refused else "listening"
        self._beaten_at = monotonic()
        try:
            with self._states.begin() as conn:
                record_heartbeat(conn, HEARTBEAT, note, _now())
        except Exception:
            log.exception("the heartbeat was not written")

    def _keep(self, request: SocketModeRequest) -> Mapping[str, Any] | None:
        """Keep what somebody did. What is wrong in a form is answered at once and kept nowhere."""
        press = read_interaction(request.type, request.payload)
        if press is None:
            return None
        # A date picker knows no zone: "today" is the day at the incident's route, west of Greenwich still yesterday's.
        if press.kind == "form" and (wrong := form_errors(press, self._answering.today(press))):
            return {"response_action": "errors", "errors": wrong}
        arrived = inbox.Arrived(
            key(request.type, request.envelope_id, request.payload), press.kind, press.text(), _now()
        )
        with self._states.begin() as conn:
            inbox.store(conn, arrived)
        self._arrived.set()
        return None


def _now() -> datetime:
    return datetime.now(UTC)


def _why(error: Exception) -> str:
    """What failed, without what Slack or a proxy sent."""
    response = getattr(error, "response", None)
    data = getattr(response, "data", None)
    return str(data.get("error")) if isinstance(data, Mapping) and data.get("error") else type(error).__name__
