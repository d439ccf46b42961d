"""Slack, as far as the tests need it: npm's emulate, on loopback, with a known workspace.

What emulate 0.11.2 does, read in its source and held by test_counterparts:

- Works: auth.test, chat.postMessage, chat.update, chat.delete, chat.getPermalink, conversations.history, .replies,
  .info, .list, .open, .members, users.info, users.list, users.lookupByEmail, reactions.add and .get,
  files.getUploadURLExternal, .completeUploadExternal, .info, .list, .delete. JSON and form bodies.
- A file has its type at once, and whatever blocks name is shown: the proxy keeps `slack_file` blocks (proxy.py).
- Stores and returns text, blocks, attachments, metadata and `edited`; metadata comes back with or without
  include_all_metadata. chat.update keeps metadata that it is not given, and drops blocks when only text is given.
- history: newest first, root messages only, limit and cursor work, oldest and latest are ignored. replies: oldest
  first, the root included, no pages; an unknown ts is an empty list.
- Errors as Slack's: channel_not_found, not_in_channel (private channels only), is_archived, message_not_found,
  cant_update_message, no_text, missing_scope, users_not_found; through our launcher also invalid_auth and not_authed.
- Does not check what blocks hold, their number or their lengths, nor pace anything: the proxy does (proxy.py).
- Text over 40,000 characters is cut with a warning. A thread_ts that does not exist is accepted.
- ts are unique and grow, also across `reset`.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from slack_sdk import WebClient

HERE: Final = Path(__file__).parent
TOKEN: Final = "xoxb-earshot-tests"
ADMIN_TOKEN: Final = "xoxp-admin-tests"
READ_ONLY_TOKEN: Final = "xoxb-read-only-tests"
BOT: Final = "U0EARSHOT"

CHANNELS: Final[Mapping[str, str]] = {
    "general": "C000000001",
    "random": "C000000002",
    "service-quality": "C000000104",
    "key-accounts": "C000000105",
    "fallback": "C000000106",
    "private": "C000000107",  # the bot is no member: not_in_channel
    "archived": "C000000108",  # is_archived
}
USERS: Final[Mapping[str, str]] = {
    "admin": "U000000001",
    "ana": "U000000100",
    "ben": "U000000101",
    "chloe": "U000000102",
    "dan": "U000000103",
}
SCOPES: Final = (
    "chat:write channels:read channels:history groups:read groups:history im:read im:history im:write users:read "
    "users:read.email reactions:read reactions:write files:read files:write"
)
SEED: Final = {
    "users": [{"name": name, "email": f"{name}@example.com"} for name in USERS if name != "admin"],
    "channels": [{"name": name, "is_private": name == "private"} for name in list(CHANNELS)[2:]],
    "oauth_apps": [
        {
            "client_id": "1.1",
            "client_secret": "none",
            "app_id": "A0EARSHOT",
            "name": "Earshot",
            "redirect_uris": [],
            "scopes": SCOPES,
            "bot_id": "B0EARSHOT",
            "bot_user_id": BOT,
            "bot_name": "earshot",
        }
    ],
    "tokens": [
        {"token": TOKEN, "user": BOT, "scopes": SCOPES, "bot_id": "B0EARSHOT", "app_id": "A0EARSHOT"},
        {"token": READ_ONLY_TOKEN, "user": BOT, "scopes": "channels:read", "bot_id": "B0EARSHOT"},
        {"token": ADMIN_TOKEN, "user": "admin", "scopes": SCOPES + " channels:manage channels:write"},
    ],
    "strict_scopes": True,
}


@dataclass(frozen=True, slots=True)
class Slack:
    """A running workspace. `base_url` and `token` are what `WebClient(token=..., base_url=...)` takes."""

    base_url: str
    process: subprocess.Popen[str]
    token: str
    channels: Mapping[str, str]
    users: Mapping[str, str]

    def client(self, token: str = TOKEN) -> WebClient:
        return WebClient(token=token, base_url=self.base_url, timeout=10, retry_handlers=[])

    def history(self, channel: str) -> list[dict[str, Any]]:
        """The root messages of a channel (name or id), oldest first, with their metadata."""
        pages = self.client(ADMIN_TOKEN).conversations_history(
            channel=self.channels.get(channel, channel), limit=1000, include_all_metadata=True
        )
        return [message for page in pages for message in page["messages"]][::-1]

    def replies(self, channel: str, ts: str) -> list[dict[str, Any]]:
        """The messages of a thread, oldest first, without the root."""
        answer = self.client(ADMIN_TOKEN).conversations_replies(
            channel=self.channels.get(channel, channel), ts=ts, include_all_metadata=True
        )
        return [message for message in answer["messages"] if message["ts"] != ts]

    def files(self) -> list[str]:
        """The ids of all files that were completed and are not deleted."""
        return [str(file["id"]) for file in self.client().files_list(count=1000)["files"]]

    def reset(self) -> None:
        """A new workspace with the same people, channels and ids."""
        _pipe(self.process.stdin).write("reset\n")
        _pipe(self.process.stdin).flush()
        _pipe(self.process.stdout).readline()
        self.client(ADMIN_TOKEN).api_call("conversations.archive", params={"channel": CHANNELS["archived"]})


def missing() -> str | None:
    """Why the emulator cannot run here, or None."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not (HERE / "node_modules" / "emulate").is_dir():
        return "the emulator is not installed: npm ci --prefix tests/counterparts"
    return None


@contextmanager
def running() -> Iterator[Slack]:
    """Starts the emulator on a free loopback port. It ends with the `with`, and also when this process dies."""
    command = ["node", "slack.mjs", json.dumps(SEED)]
    with subprocess.Popen(command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = _pipe(process.stdout).readline()
            slack = Slack(json.loads(line)["url"] + "/api/", process, TOKEN, CHANNELS, USERS)
            slack.reset()
            yield slack
        finally:
            process.kill()


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise RuntimeError
    return stream
