"""Who is looking. Every function that reads customer data takes the reader's Scope."""

from dataclasses import dataclass
from typing import Final

from config import EarshotError
from config.settings import Settings
from queries.warehouse import Scope


class NotSignedInError(EarshotError):
    """Nobody is signed in where that is asked for."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """A reader: the name decisions are recorded under, and what may be seen. `notice` is shown on every page."""

    name: str
    scope: Scope
    notice: str = ""


OPEN_MODE: Final = Viewer(
    "open mode",
    Scope(role="analyst"),
    "Open mode: no sign-in. Anyone on this computer can see all data.",
)


def viewer(settings: Settings) -> Viewer:
    """The reader of this page run. Without open mode nobody is let in until signing in is set up.

    Raises:
        NotSignedInError: always, outside open mode.
    """
    if settings.dashboard.open_mode:
        return OPEN_MODE
    raise NotSignedInError("signing in is not set up; set dashboard.open_mode = true in config/settings.toml")
