"""Log lines as key=value: one line an event, with the incident it is about where it is about one."""

import logging
from datetime import UTC, datetime
from typing import Final

from config.settings import Settings
from queries.operations import printable, refusal

log: Final = logging.getLogger("triggers")

ABOUT: Final = ("incident", "message", "rule", "channel", "code")
"""What a line may be about: ids, rules, channels and codes of errors, never a name or a comment."""


class KeyValue(logging.Formatter):
    """`at=2026-11-22T09:00:00Z level=info process=run event="sent" incident=4f0c... message=9a1b...`."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The record in one line; a trace follows below."""
        at = datetime.fromtimestamp(record.created, UTC)
        head = {"at": f"{at:%Y-%m-%dT%H:%M:%SZ}", "level": record.levelname.lower(), "process": self._process}
        about = {name: getattr(record, f"about_{name}") for name in ABOUT if hasattr(record, f"about_{name}")}
        pairs = {**head, "event": record.getMessage(), **about}
        line = " ".join(f"{name}={_quoted(str(value))}" for name, value in pairs.items())
        return printable(f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line)


def about(**what: str | None) -> dict[str, str]:
    """What a line is about, as `extra` of a logging call. What is unknown is left out."""
    return {f"about_{name}": value for name, value in what.items() if value is not None and name in ABOUT}


def log_failure(what: str, error: BaseException, settings: Settings) -> None:
    """Log that something failed which is tried again: in one line, or with its trace where the program is mistaken."""
    if told := refusal(error, settings):
        log.error("%s failed (%s); the next one tries again", what, told)
    else:
        log.error("%s failed; the next one tries again", what, exc_info=error)


def _quoted(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{plain}"' if not plain or any(letter in plain for letter in ' ="\\') else plain


def start(process: str) -> None:
    """Log to standard error. What slack_sdk would log may hold what Slack answered."""
    handler = logging.StreamHandler()
    handler.setFormatter(KeyValue(process))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("slack_sdk").setLevel(logging.CRITICAL)
