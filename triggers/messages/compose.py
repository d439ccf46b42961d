"""What to say of a message that is due, and where. Each attempt makes the words anew, from the state as it is then."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from sqlalchemy import Connection

from config.models import Catalog, Person, Route
from queries.engine import aware
from queries.messages import (
    DIVERTED,
    OVERFLOW,
    STANDING,
    DueMessage,
    PostedMessage,
    QueuedMessage,
    digests,
    posted_message,
    read_picture,
    root_id,
    usable_file,
)
from queries.state import DECIDED, HistoryEntry
from triggers.incidents import channel_reader, named_people, parse_ladder, reader_scope
from triggers.messages.card import Card, incident_message, news_message
from triggers.messages.digest import cases_message, digest_message, digest_reply, standing_message
from triggers.messages.find_sent import thread_of
from triggers.messages.message import Message, Picture


class CardSource(Protocol):
    """Where cards come from."""

    @property
    def public_url(self) -> str:
        """How links begin."""
        ...

    def card(self, conn: Connection, id_: str, reader: Route, /) -> Card:
        """The card of an incident, for whoever reads a channel."""
        ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message with everything that can be known before it is claimed. `anchor` is the root message that it changes
    or replies to, and `root_id` its outbox id; without `words` there is nothing to say any more. `file` is the picture
    that it may show by now.
    """

    message: QueuedMessage
    channel: str
    anchor: PostedMessage | None = None
    words: Message | None = None
    version: int = 0
    root_id: str = ""
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Composer:
    """What the words are made from. `letters` gives the words of a letter by its id; None for what is no letter."""

    cards: CardSource
    catalog: Catalog
    letters: Callable[[Connection, str], Message | None] | None = None

    def prepare(self, conn: Connection, due: DueMessage) -> Prepared:
        """The words of a message that is due."""
        message = due.message
        reader = channel_reader(self.catalog, message.target, due.channel)
        # A digest and a letter stand in the outbox as an incident does, under an id that no incident has.
        if digests.is_digest(conn, message.incident_id):
            return self._digest(conn, due, reader)
        if self.letters is not None and (letter := self.letters(conn, message.incident_id)) is not None:
            return Prepared(message, due.channel, words=letter, version=message.version)
        card = self.cards.card(conn, message.incident_id, reader)
        if message.step == DIVERTED:
            # In a fallback channel nobody is named: it was not made for this incident.
            card = replace(card, evidence=None)
        if message.kind == "root":
            words = _noted(incident_message(card), message)
            return Prepared(message, due.channel, words=words, version=card.incident.version)
        anchor = posted_message(conn, message.incident_id, message.target)
        if anchor is not None:
            news = self._update if message.kind == "update" else self._news
            return news(conn, due, anchor, card)
        # The incident has no message of its own: its news goes into the thread of its digest, or nowhere.
        thread = thread_of(conn, message) if message.kind == "reply" else None
        if thread is None:
            return Prepared(message, due.channel)
        words = digest_reply(card, *self._entry(message, card))
        return Prepared(message, thread.channel, thread, words, message.version)

    def standing(self, conn: Connection, anchor: PostedMessage, card: Card | None = None) -> tuple[Message, str, int]:
        """A root message as it is to be shown now, with its picture; its outbox id, and the version that it tells."""
        reader = channel_reader(self.catalog, anchor.target, anchor.channel)
        shown = card or self.cards.card(conn, anchor.incident_id, reader)
        words, kept = incident_message(shown), read_picture(conn, anchor.incident_id, anchor.target)
        if kept and kept.is_usable and not shown.withheld:
            words = replace(words, picture=Picture("", kept.alt or "", id=kept.file or ""))
        root = root_id(conn, anchor.incident_id, anchor.target)
        return words, root or anchor.incident_id, shown.incident.version

    def _digest(self, conn: Connection, due: DueMessage, reader: Route) -> Prepared:
        message = due.message
        anchor = digests.anchor(conn, message.incident_id)
        content = digests.read_digest(conn, message.incident_id)
        prepared = Prepared(message, anchor.channel if anchor else due.channel, anchor, version=content.version)
        if message.kind == "update" and (anchor is None or anchor.version >= message.version):
            return prepared
        if content.about != OVERFLOW:
            cards = [self.cards.card(conn, id_, reader) for id_ in content.members]
            words = standing_message if content.about == STANDING else cases_message
            return replace(prepared, words=words(cards, self.cards.public_url))
        verticals = reader_scope(reader).verticals
        return replace(prepared, words=digest_message(content, self.catalog, self.cards.public_url, verticals))

    def _update(self, conn: Connection, due: DueMessage, anchor: PostedMessage, card: Card) -> Prepared:
        """The root where it does not show this version yet."""
        words, root_id, version = self.standing(conn, anchor, card)
        said = None if anchor.version >= due.message.version else _noted(words, due.message)
        file = usable_file(conn, anchor.incident_id, anchor.target)
        return Prepared(due.message, due.channel, anchor, said, version, root_id, file)

    def _news(self, _: Connection, due: DueMessage, anchor: PostedMessage, card: Card) -> Prepared:
        """A reply that the root did not tell already."""
        # A root that was posted late already told what happened before: a reply would say it twice.
        is_told = due.message.version <= anchor.posted_version
        words = None if is_told else news_message(card, *self._entry(due.message, card))
        return Prepared(due.message, due.channel, anchor, words, due.message.version)

    def _entry(self, message: QueuedMessage, card: Card) -> tuple[HistoryEntry, tuple[Person, ...]]:
        """What happened, and who is named."""
        entry = next((e for e in card.entries if e.seq == message.version), card.entries[-1])
        if entry.kind in DECIDED:
            owners = {one.owner for one in card.actions if aware(one.recorded_at) == entry.at}
            return entry, tuple(p for p in self.catalog.people if owners & {p.name, p.label})
        if entry.kind != "escalated":
            return entry, ()
        notify = parse_ladder(card.incident.ladder)[card.incident.next_step - 1].notify
        return entry, named_people(notify, self.catalog.people, card.incident.vertical)


def _noted(words: Message, message: QueuedMessage) -> Message:
    """In a fallback channel: why it comes here."""
    if message.step != DIVERTED:
        return words
    note = f"Sent here because Slack refused it in the original channel: {message.error or 'see the log'}."
    return replace(words, notice=(*words.notice, note), note=note)
