"""Try everything that Slack needs, and say in plain words what is wrong and how to set it right.

Each check asks Slack one thing. A later one is only made where what it builds on is sound, so that one mistake gives
one finding.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, Literal

from pydantic import SecretStr

from config.models import Catalog, Person, Route
from config.settings import SlackSettings
from triggers.messages import Ids, Message, Posted
from triggers.slack.client import Answer, Slack, SlackError
from triggers.slack.picture_trial import try_picture

SCOPES: Final[Mapping[str, str]] = {
    "chat:write": "to post, update and delete messages",
    "channels:history": "to find a message again when the answer to posting it was lost",
    "channels:read": "to see whether a channel exists and the app is in it",
    "files:read": "to see when Slack can show a picture that was uploaded",
    "files:write": "to add a picture of the trend to a message, and to delete one that is of no use",
    "groups:history": "the same in private channels",
    "groups:read": "the same for private channels",
    "im:history": "to find a message to a person again",
    "im:write": "to write to a person: the digest of what went beyond their weekly budget",
    "reactions:read": "to see who acknowledges an incident by a reaction",
    "users:read": "to see that the people in routing.toml exist",
    "users:read.email": "to find their member ids by their mail addresses",
}
"""The bot's scopes, and what each is for; the app manifest asks for the same."""

SKEW: Final = timedelta(minutes=2)
PROBE: Final = "doctor"
_PREFIX: Final = re.compile(r"xox[a-z]-|xapp-")

Verdict = Literal["good", "note", "bad"]
Connect = Callable[[SlackSettings], str | None]
"""Opens a Socket Mode connection and closes it. Why it does not work, or None."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One thing that was looked at: what was found, and what sets it right."""

    verdict: Verdict
    text: str
    fix: str = ""

    def __str__(self) -> str:
        """The finding in a line or two."""
        mark = {"good": "ok  ", "note": "note", "bad": "BAD "}[self.verdict]
        return f"{mark} {self.text}" + (f"\n     -> {self.fix}" if self.fix else "")


@dataclass(frozen=True, slots=True)
class Doctor:
    """What is examined, and with what. `connect` tries Socket Mode; `channel` is where the test message goes."""

    settings: SlackSettings
    catalog: Catalog
    connect: Connect
    now: datetime
    channel: str | None = None

    def examine(self) -> Iterator[CheckResult]:
        """Every finding, as it is made."""
        slack, findings = self._token()
        yield from findings
        if slack is None:
            return
        yield from self._routes(slack)
        yield from self._people(slack)
        token = _secret(self.settings.app_token)
        if token is None:
            fix = f"Set EARSHOT_SLACK__APP_TOKEN in .env: Basic Information, App-Level Tokens. {_WHERE}"
            yield CheckResult("bad", "There is no app token: buttons do not work, and reactions are not received.", fix)
        elif not token.startswith("xapp-"):
            kind = {"xoxb-": "the bot's token", "xoxp-": "a person's token"}.get(_kind(token), "no token")
            fix = "EARSHOT_SLACK__APP_TOKEN needs the App-Level Token, which starts with xapp-."
            yield CheckResult("bad", f"The app token is {kind}.", fix)
        elif why := self.connect(self.settings):
            yield CheckResult("bad", f"Socket Mode does not connect ({why}).", _SOCKET.get(why, _SOCKET_OFF))
        else:
            yield CheckResult("good", "Socket Mode works: button presses arrive.")

    # The token.

    def _token(self) -> tuple[Slack | None, list[CheckResult]]:
        token = _secret(self.settings.token)
        if token is None:
            return None, [
                CheckResult(
                    "bad", "There is no bot token: nothing is sent.", f"Set EARSHOT_SLACK__TOKEN in .env. {_WHERE}"
                )
            ]
        if not token.startswith("xoxb-"):
            kind = {"xapp-": "the app's token for Socket Mode", "xoxp-": "a person's token"}.get(
                _kind(token), "no token"
            )
            fix = f"EARSHOT_SLACK__TOKEN needs the Bot User OAuth Token, which starts with xoxb-. {_WHERE}"
            return None, [CheckResult("bad", f"The bot token is {kind}.", fix)]
        slack = Slack(token, self.settings.base_url, self.settings.timeout_s)
        try:
            answer = slack.ask("auth.test")
        except SlackError as error:
            return None, [_refused(error, self.settings.base_url)]
        return slack, [*self._identity(answer)]

    def _identity(self, answer: Answer) -> Iterator[CheckResult]:
        team, user = answer.data.get("team", "?"), answer.data.get("user", "?")
        yield CheckResult("good", f"The token works: {user} in workspace {team}.")
        granted = answer.headers.get("x-oauth-scopes")
        if granted is not None:
            have = {scope.strip() for scope in granted.split(",")}
            missing = [f"{scope} ({why})" for scope, why in SCOPES.items() if scope not in have]
            if missing:
                yield CheckResult("bad", f"The app lacks scopes: {', '.join(missing)}.", _ADD_SCOPES)
            else:
                yield CheckResult("good", "The app has every scope it needs.")
        try:
            apart = abs(parsedate_to_datetime(answer.headers.get("date", "")).astimezone(UTC) - self.now)
        except ValueError:
            return
        if apart > SKEW:
            wrong = f"This machine's clock is {round(apart.total_seconds() / 60)} minutes away from Slack's."
            yield CheckResult(
                "bad", wrong, "Set the clock (timedatectl set-ntp true): due times and retries depend on it."
            )

    # The channels.

    def _routes(self, slack: Slack) -> Iterator[CheckResult]:
        used = {rule.route for rule in self.catalog.rules if rule.enabled}
        good = list[str]()
        for route in self.catalog.routes:
            if route.channel is None:
                if route.name in used:
                    yield CheckResult("bad", f"Route {route.name} has no channel: its messages stay pending.", _CHANNEL)
                continue
            result = self._channel(slack, route, route.channel)
            yield result
            if result.verdict == "good":
                good.append(route.channel)
        target = self.channel or next(iter(good), None)
        if target is not None:
            yield from self._message(slack, target)

    def _channel(self, slack: Slack, route: Route, channel: str) -> CheckResult:
        where = f"Route {route.name}: channel {channel}"
        try:
            there = slack.ask("conversations.info", channel=channel).data["channel"]
        except SlackError as error:
            wrong, fix = _UNREADABLE.get(error.code, (f" cannot be read ({error.code}).", _LATER))
            return CheckResult("bad", f"{where}{wrong}", fix)
        if there.get("is_archived"):
            return CheckResult("bad", f"{where} is archived.", _UNARCHIVE)
        if there.get("is_ext_shared") or there.get("is_pending_ext_shared"):
            fix = "Use a channel that belongs to your company alone: messages name your customers."
            return CheckResult("bad", f"{where} is shared with another company.", fix)
        if there.get("is_member") is False:
            return CheckResult("bad", f"{where}: the app is not in it.", _INVITE)
        return CheckResult("good", f"{where} (#{there.get('name', '?')}) can be reached.")

    def _message(self, slack: Slack, channel: str) -> Iterator[CheckResult]:
        """Post, find again by its metadata, delete."""
        text = "Earshot is testing whether it can post here; this message is deleted at once."
        probe = f"{PROBE}-{self.now.timestamp():.0f}"
        try:
            posted = slack.send(channel, Message((text,), sentences=(text,)), Ids(probe, PROBE))
        except SlackError as error:
            fix = _POSTING.get(error.code, _LATER)
            yield CheckResult("bad", f"The app may not post to {channel} ({error.code}).", fix)
            return
        yield from _found_again(slack, channel, probe, posted, self.now)
        if why := try_picture(slack, posted, text):
            fix = _ADD_SCOPES if why == "missing_scope" else "Let the app upload files in the workspace's settings."
            yield CheckResult("note", f"Slack shows no pictures ({why}): messages are sent without.", fix)
        else:
            yield CheckResult("good", "A picture was uploaded, shown in it and deleted.")
        try:
            slack.ask("chat.delete", channel=posted.channel, ts=posted.ts)
        except SlackError as error:
            wrong = f"The test message in {channel} could not be deleted ({error.code})."
            yield CheckResult(
                "bad", wrong, "Delete it by hand; let the app delete its messages in the workspace's settings."
            )
            return
        yield CheckResult("good", f"A test message was posted to {channel} and deleted.")

    # The people.

    def _people(self, slack: Slack) -> Iterator[CheckResult]:
        named = {step.notify for route in self.catalog.routes for step in route.ladder} - {"channel"}
        known = 0
        for person in self.catalog.people:
            is_told = person.name in named or (person.audience == "gm" and "gm" in named)
            wrong = self._member(slack, person) if person.slack else self._nobody(slack, person, is_told=is_told)
            known += person.slack is not None and wrong is None
            if wrong is not None:
                yield wrong
        if known:
            yield CheckResult("good", f"{known} people in routing.toml are members of the workspace.")
        elif not any(person.slack for person in self.catalog.people):
            fix = 'Add slack = "U0123456789" to each [[person]]: Slack profile, Copy member ID.'
            yield CheckResult("bad", "Nobody in routing.toml has a Slack member id, so buttons work for nobody.", fix)

    def _member(self, slack: Slack, person: Person) -> CheckResult | None:
        try:
            user = slack.ask("users.info", user=person.slack).data["user"]
        except SlackError as error:
            if error.code == "missing_scope":
                return CheckResult(
                    "bad", f"{person.name} cannot be looked up: the scope users:read is missing.", _ADD_SCOPES
                )
            wrong = f"{person.name}: Slack knows no member {person.slack} ({error.code})."
            return CheckResult("bad", wrong, "Copy the id again: their Slack profile, Copy member ID.")
        if user.get("deleted"):
            fix = "Remove the person from routing.toml, or name their successor."
            return CheckResult("bad", f"{person.name}: member {person.slack} was deactivated.", fix)
        if user.get("is_bot"):
            return CheckResult("bad", f"{person.name}: {person.slack} is an app, not a person.", "Write a person's id.")
        return None

    def _nobody(self, slack: Slack, person: Person, *, is_told: bool) -> CheckResult | None:
        """A person without a member id: it is looked up by mail, so that it can be copied."""
        if not is_told and person.email is None:
            return None
        why = "a ladder names them, but Slack cannot reach them" if is_told else "buttons do not work for them"
        fix = 'Add slack = "U0123456789" to their [[person]]: Slack profile, Copy member ID.'
        if person.email:
            # Who is not found by mail has another address in Slack: their id is copied by hand.
            with suppress(SlackError):
                user = slack.ask("users.lookupByEmail", email=person.email).data["user"]
                fix = f'Add slack = "{user["id"]}" to their [[person]].'
        return CheckResult("bad" if is_told else "note", f"{person.name} has no Slack member id: {why}.", fix)


_WHERE: Final = "docs/how-to/send-to-slack.md shows where it is."
_ADD_SCOPES: Final = (
    "At api.slack.com/apps: OAuth & Permissions, Bot Token Scopes, add them, then Reinstall to Workspace."
)
_CHANNEL: Final = (
    'Write channel = "C0123456789" into the route; the id is at the very bottom of the channel\'s details.'
)
_SOCKET_OFF: Final = "At api.slack.com/apps: Socket Mode, turn Enable Socket Mode on; then run this again."
_SOCKET: Final[Mapping[str, str]] = {
    "invalid_auth": "The app token is wrong or was revoked: Basic Information, App-Level Tokens; copy it again.",
    "not_allowed_token_type": "EARSHOT_SLACK__APP_TOKEN needs the App-Level Token, which starts with xapp-.",
    "missing_scope": "The app token lacks connections:write: make a new one under App-Level Tokens.",
    "no hello": "Slack accepts the connection but sends nothing: a firewall or proxy blocks wss-primary.slack.com:443.",
}
_TOKENS: Final[Mapping[str, tuple[str, str]]] = {
    "invalid_auth": ("Slack does not know the bot token.", f"Copy the Bot User OAuth Token again. {_WHERE}"),
    "not_authed": ("Slack does not know the bot token.", f"Copy the Bot User OAuth Token again. {_WHERE}"),
    "token_revoked": ("The bot token was revoked.", "Install the app again and copy its new token."),
    "token_expired": (
        "The bot token has expired.",
        "Turn token rotation off for the app, install it again and copy its token.",
    ),
    "account_inactive": ("The app was removed from the workspace.", "Install the app again and copy its new token."),
    "ratelimited": ("Slack asks us to wait.", "Run this again in a minute."),
}


def _refused(error: SlackError, base_url: str) -> CheckResult:
    """Why the token cannot be tried."""
    if error.code in _TOKENS:
        return CheckResult("bad", *_TOKENS[error.code])
    if error.certainty == "permanent":
        return CheckResult("bad", f"Slack refuses the bot token ({error.code}).", f"Copy it again. {_WHERE}")
    if error.code == "answer_is_not_json":
        fix = "A proxy or sign-in page answers in Slack's place: let this machine reach slack.com over HTTPS."
        return CheckResult("bad", f"The server at {base_url} is not Slack.", fix)
    fix = "Check that this machine may reach slack.com over HTTPS: firewall, proxy (HTTPS_PROXY), DNS."
    return CheckResult("bad", f"Slack cannot be reached at {base_url} ({error.code}).", fix)


_INVITE: Final = "Write /invite @Earshot in the channel."
_UNARCHIVE: Final = "Unarchive it, or write another channel into routing.toml."
_LATER: Final = "Run this again; if it persists, look the code up at api.slack.com."
_UNREADABLE: Final[Mapping[str, tuple[str, str]]] = {
    "channel_not_found": (
        " does not exist, or is private without the app in it.",
        "Copy the id again from the bottom of the channel's details; in a private one write /invite @Earshot first.",
    ),
    "not_in_channel": (": the app is not in it.", _INVITE),
    "missing_scope": (" cannot be looked up: the scope channels:read is missing.", _ADD_SCOPES),
}
_POSTING: Final[Mapping[str, str]] = {
    "not_in_channel": _INVITE,
    "channel_not_found": "Copy the id again from the bottom of the channel's details; invite the app if it is private.",
    "is_archived": _UNARCHIVE,
    "missing_scope": _ADD_SCOPES,
    "restricted_action": "Channel settings, Posting permissions: let the app post.",
    "restricted_action_read_only_channel": "Channel settings, Posting permissions: let the app post.",
    "ratelimited": "Run this again in a minute.",
}


def _found_again(slack: Slack, channel: str, probe: str, posted: Posted, now: datetime) -> Iterator[CheckResult]:
    """A message whose answer was lost is looked for by its metadata: without that it would be sent twice."""
    try:
        there = slack.sent_since(channel, (now - SKEW).timestamp())
    except SlackError as error:
        wrong = f"The history of {channel} cannot be read ({error.code}): after a lost answer messages wait."
        yield CheckResult("bad", wrong, _ADD_SCOPES if error.code == "missing_scope" else _INVITE)
        return
    if posted.ts not in there.get(probe, ()):
        wrong = f"The test message in {channel} came back without its metadata: a lost answer could send one twice."
        yield CheckResult("bad", wrong, "Use a workspace that keeps message metadata, and no gateway that drops it.")


def _kind(token: str) -> str:
    prefix = _PREFIX.match(token)
    return prefix[0] if prefix else ""


def _secret(token: SecretStr | None) -> str | None:
    return token.get_secret_value().strip() or None if token else None


def is_sound(findings: Sequence[CheckResult]) -> bool:
    """Whether nothing is wrong."""
    return all(finding.verdict != "bad" for finding in findings)
