"""Slack's Web API, as far as messages go, and what each failure says about whether the message was stored."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Final, Literal
from urllib.error import HTTPError, URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from config.errors import EarshotError
from triggers.messages.card import EVENT_TYPE, Message

Certainty = Literal["unsent", "ambiguous", "permanent"]

_UNSENT: Final = frozenset({"ratelimited", "rate_limited"})
_AMBIGUOUS: Final = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "accesslimited"}
)
_READS: Final = frozenset(
    {
        "conversations.history",
        "conversations.info",
        "conversations.members",
        "conversations.replies",
        "reactions.get",
        "users.info",
        "users.lookupByEmail",
    }
)
_CODE: Final = re.compile("[a-z][a-z0-9_]*")
_QUIET: Final = logging.getLogger("triggers.slack.client.sdk")
_QUIET.setLevel(logging.CRITICAL)
"""slack_sdk would log what Slack answered; failures are recorded with their message, by code."""

_PAGES: Final = 50
_PAGE: Final = 200


class SlackError(EarshotError):
    """A call that did not work.

    `certainty` says what is known: `unsent` it was certainly not stored, `ambiguous` it may have been, `permanent` it
    was not and never will be. `retry_after` is how long Slack asks to wait, in seconds.
    """

    def __init__(self, code: str, certainty: Certainty, retry_after: float | None = None) -> None:
        self.code, self.certainty, self.retry_after = code, certainty, retry_after
        super().__init__(f"Slack: {code}")


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a message stands."""

    channel: str
    ts: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What Slack says to a call: its content, and its headers by their names in lower case."""

    data: Mapping[str, Any]
    headers: Mapping[str, str]


class Slack:
    """One workspace. Nothing is ever tried twice here: who retries must know what became of the first attempt."""

    def __init__(self, token: str, base_url: str, timeout_s: float) -> None:
        # slack_sdk's default handler posts a second time when the answer to the first is lost.
        self.timeout_s = _whole(timeout_s)
        settings: dict[str, Any] = {"timeout": self.timeout_s, "retry_handlers": [], "logger": _QUIET}
        self._client = WebClient(token=token, base_url=base_url, **settings)

    def post(self, channel: str, message: Message, metadata: Mapping[str, Any], thread: str | None = None) -> Posted:
        """Post a message, or a reply in the thread of the message with that ts."""
        answer = self._call(
            "chat.postMessage",
            channel=channel,
            text=message.text,
            blocks=list(message.blocks),
            metadata=dict(metadata),
            mrkdwn=False,
            unfurl_links=False,
            unfurl_media=False,
            **({"thread_ts": thread} if thread else {}),
        )
        return Posted(str(answer["channel"]), str(answer["ts"]))

    def update(self, posted: Posted, message: Message, metadata: Mapping[str, Any]) -> None:
        """Show another state in a message that stands already."""
        body = {"text": message.text, "blocks": list(message.blocks), "metadata": dict(metadata)}
        self._call("chat.update", channel=posted.channel, ts=posted.ts, **body)

    def delete(self, posted: Posted) -> None:
        """Take a message back; one that is gone already is no error."""
        try:
            self._call("chat.delete", channel=posted.channel, ts=posted.ts)
        except SlackError as error:
            if error.code != "message_not_found":
                raise

    def listing(self, channel: str, oldest: float, thread: str | None = None) -> Mapping[str, Sequence[str]]:
        """Where our messages since `oldest` (epoch seconds) stand: the ts of each outbox id, oldest first."""
        found: dict[str, list[str]] = {}
        for message in self._messages(channel, oldest, thread):
            kept = message.get("metadata") or {}
            payload = kept.get("event_payload") or {}
            if kept.get("event_type") == EVENT_TYPE and "outbox" in payload:
                found.setdefault(str(payload["outbox"]), []).append(str(message["ts"]))
        return {outbox: sorted(set(places), key=float) for outbox, places in found.items()}

    def _messages(self, channel: str, oldest: float, thread: str | None) -> Iterator[Mapping[str, Any]]:
        """Newest first in a channel, oldest first in a thread, page by page."""
        method = "conversations.replies" if thread else "conversations.history"
        ask: dict[str, Any] = {
            "channel": channel,
            "limit": _PAGE,
            "include_all_metadata": True,
            "oldest": f"{oldest:.6f}",
        }
        if thread:
            ask["ts"] = thread
        for _ in range(_PAGES):
            answer = self._call(method, **ask)
            found: Sequence[Mapping[str, Any]] = answer.get("messages") or ()
            yield from found
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor or (not thread and found and float(found[-1]["ts"]) < oldest):
                return
            ask["cursor"] = cursor
        raise SlackError("too_many_messages_to_look_through", "ambiguous")

    def _call(self, method: str, **body: Any) -> Mapping[str, Any]:
        return self.ask(method, **body).data

    def ask(self, method: str, **body: Any) -> Answer:
        """Any call: what reads goes as a query, the rest as JSON.

        Raises:
            SlackError: it did not work.
        """
        reads = method in _READS
        form = {"params": body} if reads else {"json": body}
        try:
            answer = self._client.api_call(method, http_verb="GET" if reads else "POST", **form)
        except Exception as error:
            if isinstance(error, SlackApiError | SlackClientError | OSError | HTTPException | ValueError):
                raise _read(error) from error
            raise
        data: Any = answer.data
        if not isinstance(data, Mapping):
            raise SlackError("answer_is_not_json", "ambiguous")
        return Answer(data, {str(name).lower(): str(value) for name, value in answer.headers.items()})


def _whole(timeout_s: float) -> int:
    """slack_sdk takes whole seconds."""
    return max(1, round(timeout_s))


def _read(error: Exception) -> SlackError:
    """What a failure says about the message."""
    if isinstance(error, SlackApiError):
        return _answered(error)
    if isinstance(error, HTTPError):
        return SlackError(f"http_{error.code}", "unsent" if error.code == 429 else "ambiguous")
    reason = error.reason if isinstance(error, URLError) else error
    never_connected = isinstance(reason, ConnectionRefusedError) or type(reason).__name__ == "gaierror"
    return SlackError(type(reason).__name__.lower(), "unsent" if never_connected else "ambiguous")


def _answered(error: SlackApiError) -> SlackError:
    response: Any = error.response
    data = response.data if isinstance(response.data, Mapping) else {}
    said, status = str(data.get("error", "")), int(response.status_code)
    code = said if _CODE.fullmatch(said) else "answer_is_not_json"  # slack_sdk puts the page it got in place of a code
    if status == 429 or code in _UNSENT:
        return SlackError(code, "unsent", _retry_after(response.headers))
    if status >= 500 or code in _AMBIGUOUS or code != said:
        return SlackError(code, "ambiguous")
    return SlackError(code, "permanent")


def _retry_after(headers: Mapping[str, Any]) -> float:
    named = {str(name).lower(): value for name, value in headers.items()}
    value = named.get("retry-after", 30)
    first = value[0] if isinstance(value, list) else value
    try:
        return max(float(first), 1.0)
    except ValueError:
        return 30.0
