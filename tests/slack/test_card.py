"""The card of an incident: what it says, and that nothing in the data can make it say more."""

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.models import Condition, DeclineRule, EventRule, GapRule, Person, Route, called, conditions_text
from queries.messages import Digest, Worst
from queries.metrics import MetricPoint
from queries.monitoring.evidence import Contributor, DataFreshness, Evidence, Overlap
from queries.review import Onset, Trend
from queries.state import Action, HistoryEntry, Incident, slice_key
from tests.counterparts.limits import refusal
from tests.evaluation.test_kinds import WRITTEN
from tests.support.company import METRIC, catalog, rule, subject
from triggers.evaluation.kinds import kind_of
from triggers.messages import ORIGIN, Card, Ids
from triggers.messages.card import asks, facts, headline, incident_message, news_message, sentence, title
from triggers.messages.digest import digest_message
from triggers.messages.message import Fact, accounts_fact, mark, news
from triggers.messages.picture import Reading, chart, metric_series
from triggers.slack.blocks import SlackMessage, escaped, fallback, metadata, render

OPENED: Final = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)
SAMPLE: Final[dict[str, Any]] = {
    "since": "2026-01-19",
    "until": "2026-02-16",
    "tally": [212.0, 74.0, 0.0, 0.0, 0.0],
    "value": 74 / 212,
    "low": 0.288,
    "high": 0.415,
    "limit": 0.25,
    "deff": 1.31,
    "p": 0.00123,
    "alpha": 0.0048,
}
LOADED: Final = datetime(2026, 3, 2, 22, tzinfo=UTC)


def incident(slice_: str = "vertical=Retail", **changes: Any) -> Incident:
    made = Incident(
        id="0b8f8e3e",
        rule="defects",
        rule_hash="de27df44162d4113",
        slice=slice_,
        class_="customer",
        severity=2,
        route="delivery",
        ladder="[]",
        vertical="Retail",
        touchpoint=None,
        account_id=None,
        state="open",
        episode=1,
        opened_at=OPENED,
        slot=date(2026, 2, 16),
        resolved_at=None,
        acknowledged_at=None,
        acknowledged_by=None,
        next_step=1,
        next_step_at=None,
        value=0.349,
        n=212,
        origin="live",
        version=1,
    )
    return replace(made, **changes)


def evidence(*names: str) -> Evidence:
    contributors = tuple(Contributor(f"A{i}", name, 12, 8 - i) for i, name in enumerate(names))
    strike = Overlap("Strike", "external", datetime(2026, 1, 20, tzinfo=UTC), None)
    affected = tuple(f"A{i}" for i in range(len(names) + 12))
    fresh = DataFreshness(12, LOADED, date(2026, 3, 1))
    return Evidence(contributors, len(names) + 37, 74, (strike,), fresh, affected=affected)


def card(**changes: Any) -> Card:
    opened = HistoryEntry("0b8f8e3e", 1, OPENED, "opened", "beyond the limit", None, 12, SAMPLE)
    made = Card(
        incident(),
        (opened,),
        rule(),
        METRIC,
        Route(name="delivery", label="Keepers of promises"),
        evidence("Ashgrove Bank", "Birch & Co"),
        ZoneInfo("Europe/Berlin"),
        "https://earshot.example/incident?id=0b8f8e3e",
        onset=Onset(date(2026, 1, 5), date(2026, 1, 19)),
    )
    return replace(made, **changes)


def texts(message: SlackMessage) -> list[str]:
    return [message.text, *re.findall(r'"text": "((?:[^"\\]|\\.)*)"', json.dumps(message.blocks, ensure_ascii=False))]


def test_the_card_says_what_how_sure_since_when_and_what_to_do() -> None:
    assert title(card()) == "Serious: Journeys with a defect, Retail"
    said = "Retail: 35% of 212 cases (limit 25%), "
    assert sentence(card()) == f"{said}worse since some time between 5 and 19 January 2026."
    assert headline(card()) == "Journeys with a defect: 35% (95% CI 29 to 42%), n = 212. Limit 25%."
    assert {fact.label: fact.text for fact in facts(card())} == {
        "Where": "Retail",
        "Since": "some time between 5 and 19 January 2026",
        "Found": "3 March 2026, 00:30 CET",  # in the reporting zone
        "Measured": "19 January to 15 February 2026",
        "How sure": "Very unlikely to be chance",
        "Severity": "2 of 4",
        "Accounts most affected": "Ashgrove Bank (8 of 12 cases), Birch & Co (7 of 12 cases) and 12 more; "
        "14 of 39 accounts had a bad case",
        "At the same time": "Strike (external, since 20 January 2026)",
    }
    nobody = "Please acknowledge it today. It will not be escalated to anyone else."
    assert [(fact.label, fact.text) for fact in asks(card())] == [
        ("What to do", "Call the engineer who was there."),
        ("Due", nobody),
    ]


def test_names_stay_where_the_route_does_not_show_them() -> None:
    shown = json.dumps(render(incident_message(card(route=Route(name="delivery", show=())))).blocks)
    assert "Ashgrove" not in shown
    assert "Accounts affected\\n14 of 39 (names in the dashboard)" in shown


def test_accounts_of_a_mean_have_no_bad_cases_to_count() -> None:
    """Each has a part in the figure, and all of them are affected."""
    named = evidence("Ashgrove Bank", "Birch & Co")
    every = tuple(f"A{i}" for i in range(named.accounts))
    plain = replace(
        named, contributors=tuple(replace(one, bad=None) for one in named.contributors), bad=None, affected=every
    )
    assert accounts_fact(plain, may_name=True) == Fact(
        "Accounts", "Ashgrove Bank (12 cases), Birch & Co (12 cases) and 37 more"
    )
    assert accounts_fact(plain, may_name=False) == Fact("Accounts", "39 (names in the dashboard)")


def test_a_card_without_a_warehouse_still_says_what_it_knows() -> None:
    bare = card(evidence=None)
    assert headline(bare) == headline(card())
    assert refusal("chat.postMessage", _body(render(incident_message(bare)))) is None


def test_a_severe_case_names_its_account_and_no_figure() -> None:
    event = EventRule.model_validate(
        {
            "name": "detractor",
            "kind": "event",
            "table": "response",
            "dated_by": "responded_at",
            "where": {"score": {"at_most": 6}},
            "severity": 1,
            "route": "delivery",
            "owner": "ana",
        }
    )
    case = Evidence((Contributor("A1", "Ashgrove Bank", 1, 1),), 1, 1, (), DataFreshness(12, LOADED, None))
    found = card(rule=event, metric=None, incident=incident("response=crm/77"), evidence=case)
    assert title(found) == "Serious: detractor, Retail"
    assert headline(found) == "One severe case, seen on 3 March 2026."
    assert {f.label: f.text for f in facts(found)}["Accounts"] == "Ashgrove Bank"


def test_a_decline_says_what_was_bought_and_when_they_were_last_heard_of() -> None:
    body = {
        "name": "decline", "label": "A key account buys less of us", "kind": "decline", "every": "1d", "fall": 0.1,
        "recover": 0.05, "floor": 0, "false_alarms_per_year": 1, "keep_firing": "28d", "severity": 1,
        "route": "delivery", "owner": "ana",
    }  # fmt: skip
    figures = {"months": ["2025-12-01", "2026-02-01"], "amounts": [663_249.5, 517_800.0], "year": 7_990_000.0}
    sample = {**SAMPLE, **figures, "shares": [0.64, 0.48], "currency": "EUR", "value": 0.13}
    opened = HistoryEntry("0b8f8e3e", 1, OPENED, "opened", "below its own last twelve months", None, 12, sample)
    whose = Contributor("A1", "Ashgrove Bank", 1, 1)
    case = Evidence((whose,), 1, 1, (), DataFreshness(12, LOADED, None), date(2026, 1, 19))
    place = {"incident": incident("account_id=A1", account_id="A1"), "entries": (opened,), "metric": None}
    found = card(rule=DeclineRule.model_validate(body), evidence=case, **place)
    said = "518,000 EUR in February against 663,000 EUR in December 2025, 7.99 M EUR in the year to December 2025."
    assert headline(found) == f"Share 64% (December 2025) \N{RIGHTWARDS ARROW} 48% (February), {said}"
    lines = {f.label: f.text for f in facts(found)}
    assert (lines["Accounts"], lines["Last contact"]) == ("Ashgrove Bank", "19 January 2026")
    assert sentence(found) == (
        "Ashgrove Bank bought for 518,000 EUR in February 2026, against 663,000 EUR in December 2025 and 7.99 M EUR in "
        "the year to December; our share of its wallet went from 64% to 48%."
    )
    unshared = replace(opened, sample={**sample, "shares": [None, None], "year": None, "currency": None})
    assert headline(replace(found, entries=(unshared,))) == "518,000 in February against 663,000 in December 2025."


@pytest.mark.parametrize(
    ("state", "over", "start"),
    [
        ("open", None, "\N{LARGE ORANGE CIRCLE} Serious"),
        ("resolved", OPENED, "\N{LARGE GREEN CIRCLE} Recovered"),
        ("closed", OPENED, "\N{MEDIUM WHITE CIRCLE} Closed"),
    ],
)
def test_the_state_is_a_word_beside_a_colour(state: str, over: datetime | None, start: str) -> None:
    assert render(incident_message(card(incident=incident(state=state, resolved_at=over)))).text.startswith(start)


def test_nothing_is_asked_for_of_what_is_over() -> None:
    """Neither of a case that was closed nor of a figure that has recovered."""
    for slice_, word in (("response=crm/77", "Closed"), ("vertical=Retail", "Recovered")):
        case = {"n": 1, "value": None, "state": "closed"} if word == "Closed" else {"state": "resolved"}
        over = incident(slice_, resolved_at=OPENED, **case)
        said = incident_message(card(incident=over))
        assert word in said.title
        assert said.asks == ()
        assert not {"How sure", "Caution", ORIGIN} & {fact.label for fact in said.facts}


def test_the_message_shows_what_is_undertaken() -> None:
    """With its owner by the name that people read, until it is done and afterwards."""
    ana = Person(name="ana", label="Ana Ruiz", audience="specialist")
    made = Action("a", "Train the fitters", "ana", date(2026, 2, 2), OPENED, "ana", due_on=date(2026, 4, 1))
    done = replace(made, what="Call them", owner="Ben", done_at=datetime(2026, 3, 31, 23, 30))  # noqa: DTZ001 - as stored
    said = incident_message(card(actions=(made, done, replace(made, due_on=None)), people=(ana,)))
    assert [fact.text for fact in said.facts if fact.label == "Action"] == [
        "Train the fitters (Ana Ruiz, due 1 April 2026)",
        "Call them (Ben, done 1 April 2026)",
        "Train the fitters (Ana Ruiz, no due date)",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "Journeys with a defect, Retail (serious). Retail: 35% of 212 cases (limit 25%)"),
        (
            {"state": "resolved"},
            "Journeys with a defect, Retail (serious). Retail: back at 35% of 212 cases (limit 25%)",
        ),
        ({"rule": "gone"}, "gone, Retail (serious)"),
        ({"sample": {}}, "Journeys with a defect, Retail (serious)"),
        ({"vertical": "Energy", "slice": "vertical=Energy"}, "Journeys with a defect, elsewhere (serious)"),
        (
            {"slice": "account_id=A1", "account_id": "A1"},
            "Journeys with a defect, Retail (serious). An account in Retail: 35% of 212 cases (limit 25%)",
        ),
    ],
)
def test_the_worst_of_a_digest_have_their_figures(changes: dict[str, Any], words: str) -> None:
    """No customer is named, and nothing is said of what the channel may not read about."""
    worst = replace(Worst("i", "defects", 2, "Retail", "open", "vertical=Retail", None, SAMPLE), **changes)
    digest = Digest("d", 1, OPENED, 1, 1, 0, 1, (), (worst,))
    said = digest_message(digest, catalog(rule()), "", frozenset({"Retail"})).sentences[-1]
    assert said.partition("\n")[2].partition(" ")[2] == words


@pytest.mark.parametrize("kind", ["joined", "standing", "always"])
def test_what_tells_of_earlier_days_has_not_the_day_of_the_run(kind: str) -> None:
    """It says its own; what happened in the run has the run's."""
    later = HistoryEntry("0b8f8e3e", 2, LOADED, kind, "something (found 4 January 2026)", None, 12, None)
    made = card(entries=(*card().entries, later))
    assert incident_message(made).news == f"{news(kind)}: something (found 4 January 2026)."
    worse = replace(made, entries=(*card().entries, replace(later, kind="worsened")))
    assert "on 2 March 2026, 23:00 CET" in incident_message(worse).news


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("Head of key accounts", "the head of key accounts"),
        ("Head of Billing", "the head of Billing"),
        ("General manager, North", "the general manager, North"),
        ("CX analyst", "the CX analyst"),
        ("Ana Ruiz", "Ana Ruiz"),
        ("Jan van der Berg", "Jan van der Berg"),
        ("Ana", "Ana"),
        ("", "ana"),
    ],
)
def test_a_role_has_its_article_in_a_sentence_and_a_name_has_none(label: str, words: str) -> None:
    ana = Person(name="ana", label=label, audience="specialist")
    assert called("ana", (ana,)) == words
    assert (called("open mode", (ana,)), called(None, ())) == ("open mode", "somebody")


def test_the_picture_has_the_figure_that_the_message_names() -> None:
    """No month has the figure of four weeks: it is drawn over its days, and no other one is written beside it."""
    months = [MetricPoint(date(2025, month, 1), (), 200, 0.1, 0.05, 0.15, "ok") for month in (10, 11, 12)]
    series = metric_series(card(), METRIC, Trend("month", tuple(months), ()))
    assert series is not None
    days = "19 January to 15 February 2026"
    value = pytest.approx(100 * 74 / 212)
    assert series.window == Reading(date(2026, 1, 19), date(2026, 2, 16), value, "35%", days)  # type: ignore[arg-type]
    assert f"last 10%. From {days}: 35%. Limit 25%." in series.alt
    drawn = json.dumps(chart(series))
    assert f"black: {days}" in drawn
    assert '"label": "35%"' in drawn
    assert '"label": "10%"' not in drawn
    assert '"label": "10%"' in json.dumps(chart(replace(series, window=None)))


def test_each_severity_has_a_colour_and_a_word_of_its_own() -> None:
    shown = {mark(severity, "open") for severity in (1, 2, 3, 4)} | {mark(1, "resolved"), mark(1, "closed")}
    assert len({colour for colour, _ in shown}) == len({word for _, word in shown}) == 6


def test_a_reply_mentions_people_by_id_and_nobody_else() -> None:
    entry = HistoryEntry("0b8f8e3e", 2, OPENED, "escalated", "to Ana: nobody acknowledged it within 4 hours")
    ana = Person(name="ana", label="<!channel>", audience="gm", slack="U0000000100")
    said = render(news_message(card(), entry, (ana, replace_label(ana))))
    assert said.text.startswith("<@U0000000100> Escalated to Ana: nobody acknowledged it within 4 hours.")
    assert "<!channel>" not in json.dumps(said.blocks)


def replace_label(person: Person) -> Person:
    """Somebody whom Slack does not know."""
    return person.model_copy(update={"name": "ben", "slack": None})


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("a & b < c > d", 99, "a &amp; b &lt; c &gt; d"),
        ("<!channel>", 99, "&lt;!channel&gt;"),
        ("two\nlines\tand\x00more\u202e", 99, "two\nlines and more "),
        ("&&&&", 12, "&amp;&amp;…"),  # no half of an escape
        ("", 99, ""),
    ],
)
def test_what_is_escaped(text: str, most: int, shown: str) -> None:
    assert escaped(text, most) == shown


def test_markup_in_the_notification_is_parted() -> None:
    assert "*bold*" not in fallback("*bold* _it_ `code` ~no~")
    assert fallback("plain").isascii()


def test_a_gap_says_what_it_lies_apart_from() -> None:
    """By the other metric's label; what was stored before labels were says its name."""
    gap = {**WRITTEN["gap"], "kind": "gap"}
    of = GapRule.model_validate({**gap, "against": {"metric": "defect-rate", "where": {"multi_channel": False}}})
    label = kind_of(of).comparator(subject(of))
    against = {"tally": [400, 20, 0, 0, 0], "low": 0.22, "high": 0.38, "label": label}
    sample = {**SAMPLE, "held": 0.05, "against": against}
    shown = "Journeys with a defect: 35% (95% CI 29 to 42%), n = 212. "
    shown += "{}: 5%, n = 400; difference +30 points (95% CI 22 to 38)."
    assert kind_of(of).finding(METRIC, sample) == shown.format("Journeys with a defect (not multi channel)")
    old = {**sample, "against": {**against, "label": ""}}
    assert kind_of(of).finding(METRIC, old) == shown.format("Defect-rate")


def test_conditions_in_words() -> None:
    asked = (
        Condition(column="multi_channel", any_of=(True,)),
        Condition(column="journey.defective", any_of=(False,)),
        Condition(column="contacts", any_of=(1,)),
        Condition(column="journey_type", any_of=("repair", "installation")),
        Condition(column="score", at_least=1, at_most=6),
        Condition(column="replied_at", known=False),
    )
    assert conditions_text(asked) == (
        "multi channel; not journey defective; contacts is 1; "
        "journey type is repair or installation; score at least 1.0, at most 6.0; replied at is missing"
    )


ANY: Final = st.text(max_size=400) | st.sampled_from(
    ["W" * 300, "*bold* <!channel> & co", "<script>", "=cmd|' /C calc'!A0", "<@U0000000100>", "&" * 3000, "\n" * 50]
)


@given(ANY.filter(bool), ANY, st.lists(ANY, max_size=5), ANY)
def test_no_text_gets_out_of_its_place(vertical: str, runbook: str, names: list[str], reason: str) -> None:
    """Within Slack's limits, nothing that Slack reads as markup or mention, whatever the data holds."""
    last = HistoryEntry("0b8f8e3e", 2, OPENED, "worsened", reason, vertical, 12, SAMPLE)
    hostile = card(
        incident=incident(slice_key(("vertical",), (vertical,))),
        entries=(*card().entries, last),
        rule=rule(runbook=runbook, label=vertical),
        evidence=evidence(*names),
    )
    for message in map(render, (incident_message(hostile), news_message(hostile, last))):
        assert refusal("chat.postMessage", _body(message)) is None
        assert "mrkdwn" not in json.dumps(message.blocks)
        for text in texts(message):
            assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", text)


def _body(message: SlackMessage) -> dict[str, Any]:
    return {"text": message.text, "blocks": list(message.blocks), "metadata": metadata(Ids("a" * 36, "b" * 36))}
