"""Digests in words: what a channel had no room for, and what stood already when its rule was first looked at. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from config.models import Catalog, Person
from queries.messages import Digest, Worst
from queries.metrics import SEVERITY_WORDS, count, day_words
from queries.review import current_rule, slice_words, solve_by
from queries.state import HistoryEntry
from queries.warehouse import UNKNOWN
from triggers.evaluation.kinds import kind_of, sentence_start
from triggers.messages.card import COMPANY, Card, asks, facts, news_message, sentence, slice_text, title
from triggers.messages.message import Link, Message, mark

_WHY: Final = (
    "This channel has had as many messages as it takes in an hour, so these incidents are listed here and have no "
    "message of their own. All are in the dashboard."
)
_STOOD: Final = (
    "Found when these rules were evaluated for the first time. Each has been open for more than 90 days and will not "
    "be escalated; if one gets worse or ends, this thread will say so."
)
_ALWAYS: Final = (
    "Before the next monthly review, set a new limit or a goal: this has always been so, and is no emergency."
)
_GATHERED: Final = "Cases of this rule are sent together; new ones will be in the next message."
LISTED: Final = 20
"""Lines of a digest that names each incident."""
WAITS: Final = frozenset({"Since then", "Waiting", "Waited"})
"""The facts of a case that say how long ago it was."""


def standing_message(cards: Sequence[Card], link: str) -> Message:
    """What stood before anybody was told, line by line, and apart from it what has always been so.

    Args:
        cards: of its incidents, the worst first, as whoever reads the channel may see them.
        link: the dashboard's address.
    """
    told = [card for card in cards if not card.withheld]
    always = [card for card in told if any(entry.kind == "always" for entry in card.entries)]
    since = [card for card in told if card not in always]
    sentences = list[str]()
    if since:
        began = [card.onset or day_words(card.incident.opened_at, card.zone) for card in since]
        lines = [_line(card, f"since {day}") for card, day in zip(since, began, strict=True)]
        sentences.append("\n".join(_listed(lines)))
    if always:
        lines = _listed([_line(card, "in all the data there is") for card in always])
        sentences.append("\n".join([_ALWAYS, *lines]))
    sentences += _withheld(len(cards) - len(told))
    head = f"{count(len(cards))} {'breach' if len(cards) == 1 else 'breaches'} from before Earshot was watching"
    notice = f"{head}. {'; '.join(sentences)}"
    return Message((notice,), head, tuple(sentences), footnote=_STOOD, actions=(Link("Open the dashboard", link),))


def cases_message(cards: Sequence[Card], link: str) -> Message:
    """Severe cases of one rule, each by its account and its own name."""
    told = [card for card in cards if not card.withheld]
    lines = [*_listed([_case(card) for card in told]), *_withheld(len(cards) - len(told))]
    label = cards[0].rule.label or cards[0].rule.name
    head = f"{label}: {count(len(cards))} {'case' if len(cards) == 1 else 'cases'}"
    sentences = (*lines, *([f"What to do: {cards[0].rule.runbook}"] if cards[0].rule.runbook else []))
    actions = (Link("Open the dashboard", link),)
    return Message((f"{head}. {'; '.join(lines)}",), head, sentences, footnote=_GATHERED, actions=actions)


def _case(card: Card) -> str:
    """One case: what happened, how long ago, what its account buys, and by when it is to be solved."""
    known = [fact for fact in facts(card) if fact.label in WAITS]
    known += [fact for fact in asks(card) if fact.label == "Revenue"]
    by = solve_by(card.route, card.incident.severity, card.incident.opened_at, card.clock)
    due = f" To be solved by {by:%A} {day_words(by)}." if by and card.incident.is_open else ""
    said = "".join(f" {fact.label}: {fact.text}." for fact in known)
    return f"{_colour(card)} {slice_text(card)}: {sentence(card)}{said}{due}"


def _line(card: Card, since: str) -> str:
    """An incident with its newest figure."""
    name = f"{card.rule.label or card.rule.name}, {slice_text(card)}"
    return f"{_colour(card)} {name}, {since}. {sentence(card)}"


def _colour(card: Card) -> str:
    return mark(card.incident.severity, card.incident.state)[0]


def _withheld(number: int) -> list[str]:
    return [f"This channel is not allowed to see {count(number)} more."] if number else []


def _listed(lines: Sequence[str]) -> list[str]:
    more = len(lines) - LISTED
    return [*lines[:LISTED], *([f"and {count(more)} more, in the dashboard"] if more > 0 else [])]


def digest_message(digest: Digest, catalog: Catalog, link: str, verticals: frozenset[str] | None = None) -> Message:
    """How many incidents, of which rules, the worst first. No customer is named.

    Args:
        digest: what it tells.
        catalog: for the rules' names.
        link: the dashboard's address.
        verticals: what the channel's readers may read about; None is everything.
    """
    names = {rule.name: rule.label or rule.name for rule in catalog.rules}
    head = f"{digest.incidents:,} more incidents this hour"
    steps = f" {digest.escalated:,} {'was' if digest.escalated == 1 else 'were'} escalated." if digest.escalated else ""
    ended = digest.incidents - digest.open
    state = (
        f"{count(digest.open) if digest.open else 'None'} still open, {count(ended) if ended else 'none'} ended.{steps}"
    )
    lines = list[str]()
    for group in digest.groups:
        of_them = f" ({group.open:,} still open)" if group.open != group.incidents else ""
        name, word = names.get(group.rule, group.rule), SEVERITY_WORDS[group.severity]
        lines.append(f"{name} ({word}): {group.incidents:,}{of_them}")
    if more := digest.rules - len(digest.groups):
        lines.append(f"and {more} more rules")
    worst = [_worst(incident, catalog, verticals) for incident in digest.worst]
    return Message(
        (f"{head}. {state} {'; '.join(lines[:3])}",),
        head,
        (state, "\n".join(lines), "The most severe:\n" + "\n".join(worst)),
        footnote=_WHY,
        actions=(Link("Open the dashboard", link),),
    )


def _worst(incident: Worst, catalog: Catalog, verticals: frozenset[str] | None) -> str:
    """Where it is, with its newest figure, unless that lies outside the verticals that the channel may read about."""
    rule, metric = current_rule(incident.rule, catalog)
    colour, _ = mark(incident.severity, incident.state)
    name = f"{colour} {(rule.label if rule else '') or incident.rule}"
    where, said = incident.vertical or COMPANY, ""
    if not (verticals is None or (incident.vertical or UNKNOWN) in verticals):
        where = "elsewhere"
    elif rule is not None:
        place = f"an account in {where}" if incident.account_id else slice_words(incident.slice)
        is_over = incident.state == "resolved"
        said = kind_of(rule).sentence(place, metric, incident.sample, has_recovered=is_over)
    return f"{name}, {where} ({SEVERITY_WORDS[incident.severity]}){f'. {sentence_start(said)}' if said else ''}"


def digest_reply(card: Card, entry: HistoryEntry, people: tuple[Person, ...]) -> Message:
    """News of an incident that has no message of its own: a reply to the digest, which must say whose news it is."""
    news = news_message(card, entry, people)
    if card.withheld:
        return news
    return replace(
        news,
        notice=(*news.notice, title(card)),
        sentences=(title(card), *news.sentences),
        actions=(Link("Open the dashboard", card.link),),
    )
