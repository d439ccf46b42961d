"""Try whether Slack shows a picture: upload one of a single point, show it in a message, and delete it."""

import base64
from contextlib import suppress
from dataclasses import replace
from time import sleep
from typing import Final

from triggers.messages import Ids, Message, Picture, Posted
from triggers.slack.client import Slack, SlackError

LOOKS: Final = 8
"""How often, a second apart, one asks whether Slack knows the file's type."""

POINT: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
PICTURE: Final = Picture("earshot-test.png", "A test picture.", base64.b64decode(POINT))


def try_picture(slack: Slack, posted: Posted, text: str) -> str | None:
    """Show it in a test message that says `text`. Why Slack does not, or None."""
    file = None
    try:
        upload = slack.reserve(PICTURE)
        file = upload.file
        slack.upload(upload.url, PICTURE)
        slack.complete(file, PICTURE)
        for look in range(LOOKS):
            if slack.progress(file) == "ready":
                break
            sleep(min(look, 1))
        words = Message((text,), sentences=(text,), picture=replace(PICTURE, id=file))
        slack.change(posted, words, Ids("doctor", "doctor"))
    except SlackError as error:
        return error.code
    finally:
        if file:
            with suppress(SlackError):
                slack.remove(file)
    return None
