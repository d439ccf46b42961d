"""What a delivery needs of a channel, and what is known when a call to it fails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from config import EarshotError
from triggers.messages.message import Message, Picture

Certainty = Literal["unsent", "ambiguous", "permanent"]


class SendError(EarshotError):
    """A call that did not work.

    `certainty` says what is known: `unsent` it was certainly not stored, `ambiguous` it may have been, `permanent` it
    was not and never will be. `retry_after` is how long the channel asks to wait, in seconds.
    """

    def __init__(self, code: str, certainty: Certainty, retry_after: float | None = None) -> None:
        self.code, self.certainty, self.retry_after = code, certainty, retry_after
        super().__init__(code)


@dataclass(frozen=True, slots=True)
class Ids:
    """By which a message is found again, and what it is about."""

    outbox: str
    incident: str


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a message stands: the place, and the channel's own name for the message there."""

    channel: str
    ts: str


class DeliveryChannel(Protocol):
    """A way to people. Every call may raise SendError, and none is tried a second time behind the caller's back."""

    @property
    def timeout_s(self) -> float:
        """How long a call may take."""
        ...

    def send(
        self, place: str, message: Message, ids: Ids, under: str | None = None, *, is_bare: bool = False
    ) -> Posted:
        """Say something new, or something under an earlier message; `is_bare` leaves out everything but the notice."""
        ...

    def change(self, posted: Posted, message: Message, ids: Ids, *, is_bare: bool = False) -> None:
        """Show another state in a message that stands already."""
        ...

    def delete(self, posted: Posted) -> None:
        """Take a message back; one that is gone already is no error."""
        ...

    def sent_since(self, place: str, oldest: float, under: str | None = None) -> Mapping[str, Sequence[str]]:
        """What may have been sent: where the messages since `oldest` (epoch seconds) stand, by their outbox ids.

        A channel that cannot look up raises SendError: what may stand there is not sent a second time.
        """
        ...


@dataclass(frozen=True, slots=True)
class Upload:
    """Where a picture's bytes go, and the channel's own name for the file that they will be."""

    file: str
    url: str


class PictureChannel(DeliveryChannel, Protocol):
    """A way to people that shows pictures. A file that is not completed does not exist."""

    def reserve(self, picture: Picture) -> Upload:
        """Announce a file."""
        ...

    def upload(self, url: str, picture: Picture) -> None:
        """Hand over its bytes; more than once is no mistake."""
        ...

    def complete(self, file: str, picture: Picture) -> None:
        """Make the file, and show it nowhere."""
        ...

    def progress(self, file: str) -> Literal["absent", "processing", "ready"]:
        """How far the channel is with a file; only one that is ready can be shown."""
        ...

    def remove(self, file: str) -> None:
        """Delete a file; one that is not there is no error."""
        ...
