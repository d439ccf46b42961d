"""What is to be said, before any channel has put it into its own form. Pure.

Texts stand here as they are. Each channel escapes and shortens them by its own rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from config.models import Person


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a card: what it is, and what it says."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Button:
    """What can be pressed. `action` is its meaning, whatever the label says."""

    label: str
    action: str
    is_primary: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A list to choose from: labels by their values."""

    label: str
    action: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Link:
    """A way to a page."""

    label: str
    url: str


Control = Button | Choice | Link


@dataclass(frozen=True, slots=True)
class Picture:
    """What is shown beside the words, and said by `alt` to who cannot see it.

    A new one has its bytes as a PNG; one that the channel keeps already has the channel's own name for it, its `id`.
    """

    name: str
    alt: str
    png: bytes = b""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A message in its parts, in the order in which they are shown.

    Args:
        notice: the sentences of the notification, for whoever sees nothing else of it.
        title: what it is and where.
        sentences: paragraphs.
        facts: labelled lines.
        news: the last thing that happened.
        mentions: whom the channel tells by name.
        footnote: where it comes from, and why it comes here.
        actions: what can be done about the incident.
        answers: what can be said of it, and where it can be read.
        note: what does not belong to the matter itself.
        incident: the id that actions and answers are about.
        picture: one that the channel keeps; a channel that shows none leaves it out.
    """

    notice: tuple[str, ...]
    title: str = ""
    sentences: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    news: str = ""
    mentions: tuple[Person, ...] = ()
    footnote: str = ""
    actions: tuple[Control, ...] = ()
    answers: tuple[Control, ...] = ()
    note: str = ""
    incident: str = ""
    picture: Picture | None = None
