"""The counterparts do what the other tests rely on."""

import http.client
import json
import socket
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import URLError

import psycopg
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from sqlalchemy import create_engine, text

from tests.counterparts import proxy as faults
from tests.counterparts.browser import PageAt, Scheme
from tests.counterparts.front import front
from tests.counterparts.limits import refusal
from tests.counterparts.postgres import NewDatabase
from tests.counterparts.proxy import Fault, FaultProxy
from tests.counterparts.slack import ADMIN_TOKEN, CHANNELS, READ_ONLY_TOKEN, USERS, Slack

CHANNEL = CHANNELS["service-quality"]
BLOCKS = [{"type": "section", "text": {"type": "mrkdwn", "text": "*Installation* is late"}}]
METADATA = {"event_type": "earshot", "event_payload": {"outbox": "11111111-2222"}}
LOST = (URLError, http.client.HTTPException, OSError)


def through(proxy: FaultProxy, timeout: int = 5) -> WebClient:
    return WebClient(token="xoxb-earshot-tests", base_url=proxy.base_url, timeout=timeout, retry_handlers=[])


# A proxy before the pages


def test_a_proxy_serves_one_path_and_asks_under_the_servers_own_name() -> None:
    heard = list[tuple[str, str | None]]()

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append((self.path, self.headers["Host"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with front("/earshot", server.server_port) as port:
                for path, status in (("/earshot", 204), ("/earshot/a?b=c", 204), ("/earshots", 404), ("/", 404)):
                    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as conn:
                        conn.request("GET", path)
                        assert conn.getresponse().status == status, path
        finally:
            server.shutdown()
            thread.join()
    own = f"127.0.0.1:{server.server_port}"
    assert heard == [("/earshot", own), ("/earshot/a?b=c", own)]


# Slack


def test_a_message_comes_back_as_it_was_posted(slack: Slack) -> None:
    posted = slack.client().chat_postMessage(channel=CHANNEL, text="late", blocks=BLOCKS, metadata=METADATA)
    (message,) = slack.history("service-quality")
    assert message["ts"] == posted["ts"]
    assert (message["text"], message["blocks"], message["metadata"]) == ("late", BLOCKS, METADATA)


def test_an_update_keeps_place_and_metadata(slack: Slack) -> None:
    client = slack.client()
    ts = client.chat_postMessage(channel=CHANNEL, text="late", blocks=BLOCKS, metadata=METADATA)["ts"]
    client.chat_update(channel=CHANNEL, ts=ts, text="later")
    (message,) = slack.history(CHANNEL)
    assert (message["ts"], message["text"], message["metadata"]) == (ts, "later", METADATA)
    assert "edited" in message
    assert "blocks" not in message


def test_a_reply_is_in_the_thread_and_not_in_the_history(slack: Slack) -> None:
    client = slack.client()
    ts = client.chat_postMessage(channel=CHANNEL, text="root")["ts"]
    client.chat_postMessage(channel=CHANNEL, text="reply", thread_ts=ts, metadata=METADATA)
    assert [message["text"] for message in slack.history(CHANNEL)] == ["root"]
    assert [(m["text"], m["metadata"]) for m in slack.replies(CHANNEL, ts)] == [("reply", METADATA)]


def test_history_pages_by_cursor_and_comes_oldest_first(slack: Slack) -> None:
    client = slack.client()
    for number in range(5):
        client.chat_postMessage(channel=CHANNEL, text=str(number))
    pages = [page["messages"] for page in client.conversations_history(channel=CHANNEL, limit=2)]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [message["text"] for message in slack.history(CHANNEL)] == list("01234")


@pytest.mark.parametrize(
    ("token", "channel", "error"),
    [
        ("xoxb-earshot-tests", "C0NOWHERE", "channel_not_found"),
        ("xoxb-earshot-tests", CHANNELS["private"], "not_in_channel"),
        ("xoxb-earshot-tests", CHANNELS["archived"], "is_archived"),
        (READ_ONLY_TOKEN, CHANNEL, "missing_scope"),
        ("xoxb-revoked", CHANNEL, "invalid_auth"),
    ],
)
def test_slack_refuses(slack: Slack, token: str, channel: str, error: str) -> None:
    with pytest.raises(SlackApiError) as refused:
        slack.client(token).chat_postMessage(channel=channel, text="late")
    assert refused.value.response["error"] == error


def test_people_and_channels_have_the_ids_that_tests_may_write_down(slack: Slack) -> None:
    client = slack.client(ADMIN_TOKEN)
    people = {member["name"]: member["id"] for member in client.users_list()["members"]}
    assert {name: people[name] for name in USERS} == dict(USERS)
    assert client.users_lookupByEmail(email="ana@example.com")["user"]["id"] == USERS["ana"]
    assert {client.conversations_info(channel=id_)["channel"]["name"] for id_ in CHANNELS.values()} <= set(CHANNELS)
    assert slack.client().auth_test()["bot_id"] == "B0EARSHOT"


def test_a_reset_forgets_messages_and_keeps_ids(slack: Slack) -> None:
    slack.client().chat_postMessage(channel=CHANNEL, text="late")
    slack.reset()
    assert slack.history(CHANNEL) == []
    slack.client().chat_postMessage(channel=CHANNEL, text="again")


# The proxy


def test_the_proxy_passes_calls_on_and_keeps_them(slack: Slack, slack_proxy: FaultProxy) -> None:
    client = through(slack_proxy)
    client.chat_postMessage(channel=CHANNEL, text="late", metadata=METADATA)
    plain = client.conversations_history(channel=CHANNEL)["messages"]
    asked = client.conversations_history(channel=CHANNEL, include_all_metadata=True)["messages"]
    assert ("metadata" in plain[0], asked[0]["metadata"]) == (False, METADATA)
    assert (slack_proxy.count("chat.postMessage"), slack_proxy.count("conversations.history")) == (1, 2)
    assert slack_proxy.calls[0].body["text"] == "late"
    assert len(slack.history(CHANNEL)) == 1


@pytest.mark.parametrize(
    ("fault", "stored"),
    [
        (faults.dropped(), 1),
        (faults.hang(1.5, stored=True), 1),
        (faults.hang(1.5, stored=False), 0),
        (faults.reset(stored=True), 1),
        (faults.reset(stored=False), 0),
        (faults.truncated(), 1),
        (faults.late(0.1), 1),
    ],
    ids=str,
)
def test_a_lost_answer_does_not_say_whether_it_was_stored(
    slack: Slack, slack_proxy: FaultProxy, fault: Fault, stored: int
) -> None:
    slack_proxy.plan("chat.postMessage", fault)
    with pytest.raises(LOST):
        through(slack_proxy, timeout=1).chat_postMessage(channel=CHANNEL, text="late")
    slack_proxy.settle()
    assert len(slack.history(CHANNEL)) == stored


def test_a_reset_is_a_reset(slack_proxy: FaultProxy) -> None:
    slack_proxy.plan("auth.test", faults.reset(stored=False))
    with pytest.raises(ConnectionResetError):
        through(slack_proxy).auth_test()


@pytest.mark.parametrize(
    ("fault", "status", "stored"),
    [
        (faults.rate_limited(7), 429, 0),
        (faults.server_error(stored=True), 500, 1),
        (faults.server_error(503, stored=False), 503, 0),
        (faults.html(stored=True), 200, 1),
        (faults.html(stored=False), 200, 0),
        (faults.slack_error("internal_error", stored=True), 200, 1),
        (faults.slack_error("token_revoked"), 200, 0),
    ],
    ids=str,
)
def test_a_wrong_answer_reaches_the_caller(
    slack: Slack, slack_proxy: FaultProxy, fault: Fault, status: int, stored: int
) -> None:
    slack_proxy.plan("chat.postMessage", fault)
    with pytest.raises(SlackApiError) as answered:
        through(slack_proxy).chat_postMessage(channel=CHANNEL, text="late")
    assert fault.answer is not None
    assert answered.value.response.status_code == status
    assert fault.answer.headers.items() <= dict(answered.value.response.headers).items()
    assert len(slack.history(CHANNEL)) == stored


def test_a_late_commit_comes_late(slack: Slack, slack_proxy: FaultProxy) -> None:
    slack_proxy.plan("chat.postMessage", faults.late(0.5))
    with pytest.raises(LOST):
        through(slack_proxy).chat_postMessage(channel=CHANNEL, text="late")
    assert slack.history(CHANNEL) == []
    slack_proxy.settle()
    assert len(slack.history(CHANNEL)) == 1


def test_nothing_listens_while_refusing(slack_proxy: FaultProxy) -> None:
    client = through(slack_proxy)
    with slack_proxy.refusing(), pytest.raises(URLError) as refused:
        client.auth_test()
    assert isinstance(refused.value.reason, ConnectionRefusedError)
    assert client.auth_test()["ok"]


def test_planned_faults_come_in_order_and_then_the_choice(slack_proxy: FaultProxy) -> None:
    slack_proxy.plan("auth.test", faults.slack_error("first"), None)
    slack_proxy.choose = lambda call: faults.slack_error("chosen") if call.method == "auth.test" else None
    heard = []
    for _ in range(3):
        try:
            heard.append(through(slack_proxy).auth_test()["user"])
        except SlackApiError as error:
            heard.append(error.response["error"])
    assert heard == ["first", "earshot", "chosen"]


def section(length: int) -> dict[str, object]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": "x" * length}}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"text": "x", "blocks": BLOCKS, "metadata": METADATA}, None),
        ({"text": "x", "blocks": json.dumps(BLOCKS)}, None),
        ({"blocks": [section(3000)]}, None),
        ({"blocks": [section(3001)]}, "invalid_blocks"),
        ({"blocks": [section(0)]}, "invalid_blocks"),
        ({"blocks": [{"type": "divider"}] * 50}, None),
        ({"blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ({"blocks": [section(3000)] * 5}, "invalid_blocks"),
        ({"blocks": [{"type": "divider", "block_id": "a"}] * 2}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "gauge"}]}, "invalid_blocks"),
        ({"metadata": {"event_type": "e", "event_payload": {"x": "x" * 1024}}}, "metadata_too_large"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_slack_limits(body: dict[str, object], error: str | None) -> None:
    assert refusal("chat.postMessage", body) == error


def test_the_proxy_keeps_slacks_limits(slack: Slack, slack_proxy: FaultProxy) -> None:
    with pytest.raises(SlackApiError, match="invalid_blocks"):
        through(slack_proxy).chat_postMessage(channel=CHANNEL, text="late", blocks=[section(3001)])
    assert slack.history(CHANNEL) == []


# PostgreSQL


def test_postgresql_answers(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    engine.dispose()


def test_each_database_is_empty_and_goes_away(new_database: NewDatabase) -> None:
    for _ in range(2):
        with new_database() as url:
            connection = psycopg.connect(url.replace("+psycopg", ""))
            connection.execute("CREATE TABLE answers (score integer)")
            connection.commit()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        connection.close()


# Chromium


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_chromium_opens_a_page(page_at: PageAt, scheme: Scheme) -> None:
    tab = page_at(400, 300, scheme)
    page = tab.open("data:text/html,<h1>Review</h1>")
    assert page.inner_text("h1") == "Review"
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
    assert tab.screenshot(f"counterpart {scheme}").stat().st_size > 500
    assert tab.problems == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("<script>console.error('loud')</script>", "console error: loud"),
        ("<script>throw new Error('thrown')</script>", "uncaught: thrown"),
        ("<script>fetch('http://example.com/').catch(() => 0)</script>", "failed: http://example.com/"),
    ],
)
def test_chromium_notes_what_goes_wrong(page_at: PageAt, content: str, problem: str) -> None:
    tab = page_at()
    tab.open(f"data:text/html,{content}")
    deadline = time.monotonic() + 5
    while not tab.problems and time.monotonic() < deadline:
        tab.page.wait_for_timeout(50)
    assert any(line.startswith(problem) for line in tab.problems), tab.problems


# This machine


def test_no_test_leaves_this_machine() -> None:
    with socket.socket() as connection, pytest.raises(RuntimeError, match="tried to reach"):
        connection.connect(("192.0.2.1", 80))
