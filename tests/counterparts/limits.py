"""What Slack refuses and the emulator does not, from Slack's reference of Block Kit and of message metadata."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

METADATA_BYTES = 1024  # ours, not Slack's (8 KB): ids only, the workspace can read it


def refusal(method: str, body: Mapping[str, Any]) -> str | None:
    """The error that Slack would answer to this call, or None."""
    if method not in ("chat.postMessage", "chat.update"):
        return None
    if len(str(body.get("text", ""))) > 40_000:
        return "msg_too_long"
    if any(_broken(_decoded(body.get("blocks", [])))):
        return "invalid_blocks"
    if len(json.dumps(_decoded(body.get("metadata", {})))) > METADATA_BYTES:
        return "metadata_too_large"
    return None


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _broken(blocks: list[dict[str, Any]]) -> Iterator[bool]:
    yield len(blocks) > 50
    yield len(json.dumps(blocks, ensure_ascii=False)) > 13_200
    yield _repeated([block["block_id"] for block in blocks if "block_id" in block])
    for block in blocks:
        yield from _BLOCKS.get(str(block.get("type")), _unknown)(block)


def _unknown(_block: dict[str, Any]) -> Iterator[bool]:
    yield True


def _divider(_block: dict[str, Any]) -> Iterator[bool]:
    yield False


def _header(block: dict[str, Any]) -> Iterator[bool]:
    yield block["text"].get("type") != "plain_text"
    yield _outside(block["text"], 150)


def _section(block: dict[str, Any]) -> Iterator[bool]:
    fields = block.get("fields", [])
    yield "text" not in block and not fields
    yield "text" in block and _outside(block["text"], 3000)
    yield len(fields) > 10
    yield from (_outside(field, 2000) for field in fields)
    if "accessory" in block:
        yield from _element(block["accessory"])


def _image(block: dict[str, Any]) -> Iterator[bool]:
    yield not 1 <= len(block.get("alt_text", "")) <= 2000
    yield ("image_url" in block) == ("slack_file" in block)


def _context(block: dict[str, Any]) -> Iterator[bool]:
    yield not 1 <= len(block["elements"]) <= 10
    yield from (_outside(element, 3000) for element in block["elements"] if element.get("type") != "image")


def _actions(block: dict[str, Any]) -> Iterator[bool]:
    yield not 1 <= len(block["elements"]) <= 25
    yield _repeated([element["action_id"] for element in block["elements"] if "action_id" in element])
    for element in block["elements"]:
        yield from _element(element)


def _element(element: dict[str, Any]) -> Iterator[bool]:
    if element.get("type") == "button":
        yield element["text"].get("type") != "plain_text"
        yield _outside(element["text"], 75)
    if element.get("type") == "overflow":
        yield not 1 <= len(element["options"]) <= 5
        for option in element["options"]:
            yield option["text"].get("type") != "plain_text"
            yield _outside(option["text"], 75) or not 1 <= len(option["value"]) <= 150
    yield len(element.get("action_id", "")) > 255
    yield len(element.get("value", "")) > 2000
    yield len(element.get("url", "")) > 3000


def _outside(text: dict[str, Any], most: int) -> bool:
    return text.get("type") not in ("plain_text", "mrkdwn") or not 1 <= len(text.get("text", "")) <= most


def _repeated(names: list[str]) -> bool:
    return len(names) != len(set(names))


_BLOCKS = {
    "divider": _divider,
    "header": _header,
    "section": _section,
    "context": _context,
    "actions": _actions,
    "image": _image,
}
