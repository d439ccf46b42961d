"""Slack's Web API, as far as messages go, and what each failure says about whether the message was stored."""

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Final, Literal
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from triggers.messages import Ids, Message, Picture, Posted, SendError, Upload
from triggers.slack.blocks import EVENT_TYPE, metadata, render

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
        "files.info",
        "reactions.get",
        "users.info",
        "users.lookupByEmail",
    }
)
_FORMS: Final = frozenset({"files.completeUploadExternal", "files.getUploadURLExternal"})
_CODE: Final = re.compile("[a-z][a-z0-9_]*")
_QUIET: Final = logging.getLogger("triggers.slack.client.sdk")
_QUIET.setLevel(logging.CRITICAL)
"""slack_sdk would log what Slack answered; failures are recorded with their message, by code."""

_PAGES: Final = 50
_PAGE: Final = 200


class SlackError(SendError):
    """A call to Slack that did not work."""

    def __str__(self) -> str:
        """The error in one line."""
        return f"Slack: {self.code}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What Slack says to a call: its content, and its headers by their names in lower case."""

    data: Mapping[str, Any]
    headers: Mapping[str, str]


class Slack:
    """One workspace. Nothing is ever tried twice here: who retries must know what became of the first attempt."""

    def __init__(self, token: str, base_url: str, timeout_s: float) -> None:
        self._scheme = urlsplit(base_url).scheme
        self.timeout_s = max(1, round(timeout_s))  # slack_sdk takes whole seconds
        # slack_sdk's default handler posts a second time when the answer to the first is lost.
        settings: dict[str, Any] = {"timeout": self.timeout_s, "retry_handlers": [], "logger": _QUIET}
        self._client = WebClient(token=token, base_url=base_url, **settings)

    def send(
        self, place: str, message: Message, ids: Ids, under: str | None = None, *, is_bare: bool = False
    ) -> Posted:
        """Post a message, or a reply in the thread of the message with that ts."""
        thread = {"thread_ts": under} if under else {}
        quietly = {"mrkdwn": False, "unfurl_links": False, "unfurl_media": False}
        body = _shown(message, is_bare=is_bare) | quietly | thread
        answer = self.ask("chat.postMessage", channel=place, metadata=metadata(ids), **body).data
        return Posted(str(answer["channel"]), str(answer["ts"]))

    def change(self, posted: Posted, message: Message, ids: Ids, *, is_bare: bool = False) -> None:
        """Show another state in a message that stands already."""
        body = _shown(message, is_bare=is_bare)
        self.ask("chat.update", channel=posted.channel, ts=posted.ts, metadata=metadata(ids), **body)

    def whisper(self, place: str, member: str, message: Message) -> None:
        """Say something in a channel to one person, and to nobody else there."""
        self.ask("chat.postEphemeral", channel=place, user=member, **_shown(message))

    def open_form(self, trigger: str, view: Mapping[str, Any]) -> None:
        """Open a form (see `blocks.form`) for whoever pressed what gave the trigger."""
        self.ask("views.open", trigger_id=trigger, view=view)

    def delete(self, posted: Posted) -> None:
        """Take a message back; one that is gone already is no error."""
        try:
            self.ask("chat.delete", channel=posted.channel, ts=posted.ts)
        except SlackError as error:
            if error.code != "message_not_found":
                raise

    def reserve(self, picture: Picture) -> Upload:
        """Announce a file: Slack names it, and says where its bytes go."""
        about = {"filename": picture.name, "length": len(picture.png), "alt_txt": picture.alt}
        answer = self.ask("files.getUploadURLExternal", **about).data
        return Upload(str(answer["file_id"]), str(answer["upload_url"]))

    def upload(self, url: str, picture: Picture) -> None:
        """Hand over a file's bytes. Whoever has the address may do so: the token stays here."""
        if urlsplit(url).scheme not in {"https", self._scheme}:
            raise SlackError("upload_url_is_not_https", "permanent")
        form = {"Content-Type": "application/octet-stream"}
        try:
            with urlopen(Request(url, picture.png, form, method="POST"), timeout=self.timeout_s) as answer:  # noqa: S310 - checked above
                is_taken = answer.read(2) == b"OK"
        except (OSError, HTTPException) as error:
            raise _read(error) from error
        if not is_taken:
            raise SlackError("upload_answer_is_not_ok", "ambiguous")

    def complete(self, file: str, picture: Picture) -> None:
        """Make the file. Without a channel: sharing it would post a message of its own."""
        self.ask("files.completeUploadExternal", files=json.dumps([{"id": file, "title": picture.name}]))

    def progress(self, file: str) -> Literal["absent", "processing", "ready"]:
        """How far Slack is with a file: before it knows its type it refuses to show it."""
        try:
            known = self.ask("files.info", file=file).data["file"]
        except SlackError as error:
            if error.code == "file_not_found":
                return "absent"
            raise
        return "ready" if known.get("mimetype") and known.get("filetype") else "processing"

    def remove(self, file: str) -> None:
        """Delete a file; one that is not there is no error."""
        try:
            self.ask("files.delete", file=file)
        except SlackError as error:
            if error.code not in {"file_not_found", "file_deleted"}:
                raise

    def sent_since(self, place: str, oldest: float, under: str | None = None) -> Mapping[str, Sequence[str]]:
        """Where our messages since `oldest` (epoch seconds) stand: the ts of each outbox id, oldest first."""
        found: dict[str, list[str]] = {}
        for message in self._messages(place, oldest, under):
            kept = message.get("metadata") or {}
            payload = kept.get("event_payload") or {}
            if kept.get("event_type") == EVENT_TYPE and "outbox" in payload:
                found.setdefault(str(payload["outbox"]), []).append(str(message["ts"]))
        return {outbox: sorted(set(places), key=float) for outbox, places in found.items()}

    def _messages(self, channel: str, oldest: float, thread: str | None) -> Iterator[Mapping[str, Any]]:
        """Newest first in a channel, oldest first in a thread, page by page."""
        method = "conversations.replies" if thread else "conversations.history"
        query: dict[str, Any] = {
            "channel": channel,
            "limit": _PAGE,
            "include_all_metadata": True,
            "oldest": f"{oldest:.6f}",
        }
        if thread:
            query["ts"] = thread
        for _ in range(_PAGES):
            answer = self.ask(method, **query).data
            page: Sequence[Mapping[str, Any]] = answer.get("messages") or ()
            yield from page
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor or (not thread and page and float(page[-1]["ts"]) < oldest):
                return
            query["cursor"] = cursor
        raise SlackError("too_many_messages_to_look_through", "ambiguous")

    def ask(self, method: str, **body: Any) -> Answer:
        """Any call: what reads goes as a query, the rest as JSON, or as a form where Slack takes no JSON.

        Raises:
            SlackError: it did not work.
        """
        reads = method in _READS
        form = {"params": body} if reads or method in _FORMS else {"json": body}
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


def _shown(message: Message, *, is_bare: bool = False) -> dict[str, Any]:
    """What Slack shows of a message. It must find no links and names in it by itself: data could write them."""
    words = render(message, is_bare=is_bare)
    return {"text": words.text, "blocks": list(words.blocks), "parse": "none", "link_names": False}


def _read(error: Exception) -> SlackError:
    """What a failure says about the message."""
    if isinstance(error, SlackApiError):
        response: Any = error.response
        data = response.data if isinstance(response.data, Mapping) else {}
        said, status = str(data.get("error", "")), int(response.status_code)
        # slack_sdk puts the page that it got in place of a code.
        code = said if _CODE.fullmatch(said) else "answer_is_not_json"
        if status == 429 or code in _UNSENT:
            return SlackError(code, "unsent", _retry_after(response.headers))
        is_unclear = status >= 500 or code in _AMBIGUOUS or code != said
        return SlackError(code, "ambiguous" if is_unclear else "permanent")
    if isinstance(error, HTTPError):
        return SlackError(f"http_{error.code}", "unsent" if error.code == 429 else "ambiguous")
    reason = error.reason if isinstance(error, URLError) else error
    never_connected = isinstance(reason, ConnectionRefusedError) or type(reason).__name__ == "gaierror"
    return SlackError(type(reason).__name__.lower(), "unsent" if never_connected else "ambiguous")


def _retry_after(headers: Mapping[str, Any]) -> float:
    named = {str(name).lower(): value for name, value in headers.items()}
    value = named.get("retry-after", 30)
    first = value[0] if isinstance(value, list) else value
    try:
        return max(float(first), 1.0)
    except ValueError:
        return 30.0
