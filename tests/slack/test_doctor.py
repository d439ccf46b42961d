"""The doctor names what is wrong with a set-up, and only that."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import SecretStr

from config.models import Catalog, Person, Route, Step
from config.settings import SlackSettings
from tests.counterparts import human
from tests.counterparts import proxy as faults
from tests.counterparts.proxy import Answer, Fault, FaultProxy
from tests.counterparts.slack import ADMIN_TOKEN, BOT, CHANNELS, READ_ONLY_TOKEN, TOKEN, USERS, Slack
from tests.support.clocks import BY_SLACKS_CLOCK, Now
from tests.support.company import catalog, rule
from tests.support.installation import configure
from triggers.__main__ import main
from triggers.slack.doctor import SCOPES, CheckResult, Doctor, is_sound
from triggers.slack.socket_mode import try_socket

GOOD: Final = CHANNELS["service-quality"]
APP: Final = "xapp-earshot-tests"


def people(**changes: str | None) -> tuple[Person, ...]:
    ana = Person(name="ana", label="Ana", audience="specialist", slack=USERS["ana"])
    return (ana.model_copy(update=changes),)


def company(channel: str | None = GOOD, ladder: tuple[Step, ...] = (Step(),), **changes: str | None) -> Catalog:
    route = Route(name="delivery", channel=channel, ladder=ladder)
    return catalog(rule(), routes=(route,)).model_copy(update={"people": people(**changes)})


def hears(_: SlackSettings) -> str | None:
    return None


@dataclass(frozen=True)
class Setup:
    """What is set up, and what Slack answers where the emulator cannot be made to."""

    catalog: Catalog = field(default_factory=company)
    token: str | None = TOKEN
    app_token: str | None = APP
    answers: Mapping[str, Fault] = field(default_factory=dict)
    socket: str | None = None
    ahead: timedelta = timedelta(0)

    def settings(self, base_url: str) -> SlackSettings:
        secrets = {name: SecretStr(getattr(self, name)) for name in ("token", "app_token") if getattr(self, name)}
        return SlackSettings(base_url=base_url, timeout_s=2, **secrets)

    def examine(self, base_url: str, now: datetime) -> tuple[CheckResult, ...]:
        doctor = Doctor(self.settings(base_url), self.catalog, lambda _: self.socket, now + self.ahead)
        return tuple(doctor.examine())


def answering(body: Mapping[str, Any], **headers: str) -> Fault:
    return Fault("never", answer=Answer(200, json.dumps({"ok": True, **body}).encode(), headers=headers))


def channel(**more: bool) -> Fault:
    return answering({"channel": {"id": GOOD, "name": "service-quality", "is_member": True, **more}})


HTML: Final = faults.html(stored=False)
BROKEN: Final[Mapping[str, tuple[Setup, str, str]]] = {
    "no token": (Setup(token=None), "There is no bot token", "EARSHOT_SLACK__TOKEN"),
    "the app's token in the bot's place": (Setup(token=APP), "is the app's token for Socket Mode", "starts with xoxb-"),
    "a person's token": (Setup(token="xoxp-1"), "is a person's token", "starts with xoxb-"),
    "a token that Slack does not know": (Setup(token="xoxb-wrong"), "does not know the bot token", "Copy the Bot User"),
    "a revoked token": (
        Setup(answers={"auth.test": faults.slack_error("token_revoked")}),
        "was revoked",
        "Install the app again",
    ),
    "the app was removed": (
        Setup(answers={"auth.test": faults.slack_error("account_inactive")}),
        "removed from the workspace",
        "Install the app again",
    ),
    "a sign-in page in Slack's place": (Setup(answers={"auth.test": HTML}), "is not Slack", "sign-in page"),
    "nothing answers": (Setup(answers={"auth.test": faults.dropped()}), "cannot be reached", "firewall"),
    "a scope is missing": (
        Setup(answers={"auth.test": answering({"user": "e"}, **{"x-oauth-scopes": "chat:write,channels:history"})}),
        "lacks scopes: channels:read",
        "Reinstall",
    ),
    "the clock is wrong": (
        Setup(ahead=timedelta(hours=1)),
        "60 minutes away from Slack's",
        "Set the clock",
    ),
    "a route without a channel": (Setup(company(None)), "has no channel", "at the very bottom"),
    "a channel that does not exist": (
        Setup(company("C0NOWHERE0")),
        "does not exist, or is private",
        "Copy the id again",
    ),
    "a channel that is archived": (Setup(company(CHANNELS["archived"])), "is archived", "Unarchive it"),
    "the app is not in the channel": (
        Setup(answers={"conversations.info": channel(is_member=False)}),
        "the app is not in it",
        "/invite @Earshot",
    ),
    "a channel shared with another company": (
        Setup(answers={"conversations.info": channel(is_ext_shared=True)}),
        "shared with another company",
        "name your customers",
    ),
    "the app may not post": (
        Setup(answers={"chat.postMessage": faults.slack_error("restricted_action")}),
        "may not post",
        "Posting permissions",
    ),
    "the history cannot be read": (
        Setup(answers={"conversations.history": faults.slack_error("missing_scope")}),
        "history of",
        "Reinstall",
    ),
    "metadata does not come back": (
        Setup(answers={"conversations.history": answering({"messages": []})}),
        "without its metadata",
        "keeps message metadata",
    ),
    "the message cannot be taken back": (
        Setup(answers={"chat.delete": faults.slack_error("cant_delete_message")}),
        "could not be deleted",
        "Delete it by hand",
    ),
    "a member id that nobody has": (
        Setup(company(slack="U0NOBODY00")),
        "Slack knows no member U0NOBODY00",
        "Copy member ID",
    ),
    "somebody who left": (
        Setup(answers={"users.info": answering({"user": {"id": USERS["ana"], "deleted": True}})}),
        "was deactivated",
        "name their successor",
    ),
    "a ladder names somebody without a member id": (
        Setup(company(ladder=(Step(), Step(notify="ana")), slack=None, email="ana@example.com")),
        "a ladder names them",
        f'slack = "{USERS["ana"]}"',
    ),
    "no app token": (Setup(app_token=None), "There is no app token", "App-Level Tokens"),
    "the bot's token in the app's place": (
        Setup(app_token=TOKEN),
        "The app token is the bot's token",
        "starts with xapp-",
    ),
    "Socket Mode is off": (Setup(socket="not_enabled"), "does not connect (not_enabled)", "Enable Socket Mode"),
    "the app token lacks its scope": (Setup(socket="missing_scope"), "does not connect", "connections:write"),
    "web sockets are stopped": (
        Setup(socket="no hello"),
        "does not connect",
        "firewall or proxy blocks",
    ),
}
ALSO: Final = {"a ladder names somebody without a member id": 2, "a member id that nobody has": 1}
"""Where nobody at all can press, that is said too."""


@pytest.fixture
def joined(slack: Slack) -> Slack:
    """The app was invited to its channel."""
    slack.client(ADMIN_TOKEN).conversations_join(channel=GOOD)
    slack.client(ADMIN_TOKEN).conversations_invite(channel=GOOD, users=BOT)
    return slack


@BY_SLACKS_CLOCK
@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.usefixtures("joined")
def test_what_is_wrong_is_named_with_what_sets_it_right(slack_proxy: FaultProxy, name: str, now: Now) -> None:
    setup, wrong, right = BROKEN[name]
    for method, fault in setup.answers.items():
        slack_proxy.plan(method, fault)
    found = setup.examine(slack_proxy.base_url, now())
    bad = [one for one in found if one.verdict == "bad"]
    assert any(wrong in one.text and right in one.fix for one in bad), [str(one) for one in found]
    assert len(bad) == ALSO.get(name, 1), [str(one) for one in found]
    assert not is_sound(found)
    assert not any(secret in str(one) for one in found for secret in (TOKEN, APP) if secret)


@BY_SLACKS_CLOCK
def test_a_sound_set_up_has_nothing_wrong_and_leaves_nothing_behind(
    slack_proxy: FaultProxy, joined: Slack, now: Now
) -> None:
    granted = answering({"team": "Acme", "user": "earshot"}, **{"x-oauth-scopes": ",".join(SCOPES)})
    slack_proxy.plan("auth.test", granted)
    found = Setup().examine(slack_proxy.base_url, now())
    assert is_sound(found), [str(one) for one in found]
    assert [one.text.partition(":")[0].partition(" (")[0] for one in found] == [
        "The token works",
        "The app has every scope it needs.",
        "Route delivery",
        "A picture was uploaded, shown in it and deleted.",
        f"A test message was posted to {GOOD} and deleted.",
        "1 people in routing.toml are members of the workspace.",
        "Socket Mode works",
    ]
    assert [m for m in joined.history(GOOD) if m.get("subtype") is None] == []
    assert joined.files() == []


@BY_SLACKS_CLOCK
@pytest.mark.parametrize(
    ("method", "error", "right"),
    [
        ("files.getUploadURLExternal", "missing_scope", "Reinstall"),
        ("files.completeUploadExternal", "no_room", "upload"),
    ],
)
def test_pictures_that_are_refused_are_a_note_and_leave_nothing_behind(
    slack_proxy: FaultProxy, joined: Slack, now: Now, method: str, error: str, right: str
) -> None:
    slack_proxy.plan(method, faults.slack_error(error))
    found = Setup().examine(slack_proxy.base_url, now())
    (note,) = (one for one in found if one.verdict == "note")
    assert f"shows no pictures ({error})" in note.text
    assert right in note.fix
    assert joined.files() == []


@BY_SLACKS_CLOCK
def test_a_token_that_may_only_read_is_named(joined: Slack, now: Now) -> None:
    """Without the header that lists scopes each call says it."""
    found = Setup(token=READ_ONLY_TOKEN).examine(joined.base_url, now())
    assert any("may not post" in one.text and "Reinstall" in one.fix for one in found)


@BY_SLACKS_CLOCK
def test_a_private_channel_without_the_app(slack: Slack, now: Now) -> None:
    found = Setup(company(CHANNELS["private"])).examine(slack.base_url, now())
    bad = [one for one in found if one.verdict == "bad"]
    assert any("/invite @Earshot" in one.fix for one in bad), [str(one) for one in found]


def test_the_manifest_asks_for_the_scopes_that_the_doctor_wants() -> None:
    file = Path(__file__).parents[2] / "docs" / "how-to" / "slack-app-manifest.json"
    manifest = json.loads(file.read_text("utf-8"))
    assert set(manifest["oauth_config"]["scopes"]["bot"]) == set(SCOPES)
    settings = manifest["settings"]
    assert settings["socket_mode_enabled"] is True
    assert settings["interactivity"]["is_enabled"] is True
    assert settings["event_subscriptions"]["bot_events"] == ["reaction_added"]
    assert settings["token_rotation_enabled"] is False


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[human.Workspace]:
    if why := human.missing():
        pytest.skip(why)
    with human.running(tmp_path) as running:
        yield running
    shutil.rmtree(tmp_path / "files", ignore_errors=True)


def test_socket_mode_is_tried_for_real(workspace: human.Workspace) -> None:
    settings = Setup(app_token=human.APP_TOKEN).settings(workspace.base_url)
    assert try_socket(settings) is None
    workspace.kill()
    assert try_socket(settings) in ("URLError", "not connected", "ConnectionRefusedError")


def test_the_command_says_it_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, joined: Slack
) -> None:
    for name, value in configure(tmp_path, GOOD).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("EARSHOT_SLACK__TOKEN", TOKEN)
    monkeypatch.setenv("EARSHOT_SLACK__BASE_URL", joined.base_url)
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert f"ok   A test message was posted to {GOOD} and deleted." in said
    assert (
        "BAD  There is no app token: buttons do not work, and reactions are not received.\n     -> Set EARSHOT" in said
    )


def test_the_commands_that_ask_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in configure(tmp_path, GOOD).items():
        monkeypatch.setenv(name, value)
    assert main(["route", "defects", "--vertical", "Retail", "--at", "2026-11-20T15:00"]) == 0
    assert main(["route", "nothing"]) == 1
    assert main(["silence", "preview", "--rule", "defects"]) == 0
    assert main(["silence", "add", "--rule", "defects", "--reason", "known"]) == 1  # without an end
    assert main(["silence", "add", "--rule", "nothing", "--until", "1d", "--reason", "known"]) == 1
    assert main(["silence", "--by", "ana", "add", "--rule", "defects", "--until", "1d", "--reason", "known"]) == 0
    assert main(["silence", "list"]) == 0
    said = capsys.readouterr()
    assert f"rule defects, severity 2 -> route delivery, {GOOD}" in said.out
    assert "Fri 2026-11-20 15:00  the channel" in said.out
    assert "rule defects: 0 open incidents, 0 opened in the last 90 days" in said.out
    assert "by ana: known" in said.out
    assert [line.partition(";")[0] for line in said.err.splitlines()] == [
        "no rule 'nothing'",
        "a silence needs an end",
        "no rule 'nothing'",
    ]


def test_socket_mode_says_what_slack_says(slack_proxy: FaultProxy) -> None:
    slack_proxy.plan("apps.connections.open", faults.slack_error("invalid_auth"))
    assert try_socket(Setup().settings(slack_proxy.base_url)) == "invalid_auth"
