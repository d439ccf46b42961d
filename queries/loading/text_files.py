"""Text files decoded into private UTF-8 copies, and what is wrong with them found on the way."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from config import EarshotError

_CHUNK: Final = 1 << 24
_SINGLE_BYTE: Final = {"iso8859-1", "iso8859-15", "cp1252"}
_BOM: Final = "\ufeff".encode()


class BadTextError(EarshotError):
    """A text file that is not what its source says."""


def copy_text(file: Path, encoding: str, to: Path) -> tuple[str, ...]:
    r"""Write `file` to `to` as UTF-8 without a byte order mark, every \r\n as \n. Returns warnings.

    Raises:
        BadTextError: a byte the encoding does not have, a NUL, or an encoding Python does not know.
        OSError: the file cannot be read, or the copy not written.
    """
    try:
        codec = codecs.lookup(encoding)
        # rot13 and zip are codecs too, but no encodings.
        "".encode(encoding)
    except (LookupError, TypeError):
        raise BadTextError(
            f"{file}: {encoding!r} is not a known encoding; write one such as 'utf-8' or 'latin-1'"
        ) from None
    doubt = _Doubt() if codec.name in _SINGLE_BYTE else None
    with file.open("rb") as source, to.open("wb") as target:
        try:
            for piece in _line_ends(_as_utf8(source, codec, doubt)):
                if (place := piece.find(b"\0")) >= 0:
                    line = _lines(to, target) + piece.count(b"\n", 0, place) + 1
                    advice = "export the file again, or set encoding = 'utf-16' if it is that"
                    raise BadTextError(f"{file}:{line}: a NUL byte; {advice}")
                target.write(piece)
        except UnicodeDecodeError as error:
            raise _undecodable(error, file, encoding, _lines(to, target)) from None
        except UnicodeError as error:
            raise BadTextError(f"{file} is not {encoding} ({error}); set encoding to what the file is in") from None
    if doubt and doubt.is_utf8:
        return (f"{file}: reads as UTF-8 although encoding is {encoding!r}; letters such as é may be garbled",)
    return ()


class _Doubt:
    """Whether what is declared as a single-byte encoding is UTF-8 in truth: the bytes always decode either way."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._fits, self._beyond_ascii = True, False

    def see(self, chunk: bytes) -> None:
        if not self._fits or chunk.isascii():
            return
        self._beyond_ascii = True
        try:
            self._decoder.decode(chunk)
        except UnicodeDecodeError:
            self._fits = False

    @property
    def is_utf8(self) -> bool:
        return self._fits and self._beyond_ascii


def _as_utf8(source: IO[bytes], codec: codecs.CodecInfo, doubt: _Doubt | None) -> Iterator[bytes]:
    """UTF-8 is only checked: pure ASCII, the usual case, without decoding it."""
    is_utf8 = codec.name in {"utf-8", "utf-8-sig"}
    decoder = codecs.getincrementaldecoder("utf-8" if is_utf8 else codec.name)()
    while chunk := source.read(_CHUNK):
        if doubt:
            doubt.see(chunk)
        if is_utf8 and chunk.isascii() and not decoder.getstate()[0]:
            yield chunk
            continue
        text = decoder.decode(chunk)
        yield chunk if is_utf8 else text.encode()
    yield decoder.decode(b"", final=True).encode()


def _line_ends(pieces: Iterator[bytes]) -> Iterator[bytes]:
    r"""One kind of line end: DuckDB refuses a file that mixes them. A \r at the end of a chunk waits for the next."""
    kept, mark = b"", _BOM
    for piece in pieces:
        whole = kept + piece.removeprefix(mark)
        mark = b""
        kept = b"\r" if whole.endswith(b"\r") else b""
        yield whole.removesuffix(kept).replace(b"\r\n", b"\n")
    yield kept


def _lines(to: Path, target: IO[bytes]) -> int:
    """How many lines have been written: counted only when one must be named."""
    target.flush()
    return line_ends(to, to.stat().st_size)


def line_ends(file: Path, before: int) -> int:
    """How many lines end among the first bytes of a file."""
    with file.open("rb") as text:
        return sum(text.read(min(_CHUNK, before - start)).count(b"\n") for start in range(0, before, _CHUNK))


def _undecodable(error: UnicodeDecodeError, file: Path, encoding: str, lines: int) -> BadTextError:
    before = error.object[: error.start].decode(error.encoding, "ignore")
    where = f"{file}:{lines + before.count(chr(10)) + 1}"
    byte = f"byte 0x{error.object[error.start]:02X}"
    if codecs.lookup(encoding).name not in {"utf-8", "utf-8-sig"}:
        return BadTextError(f"{where}: {byte} is not {encoding}; set the input's encoding to that of the file")
    with file.open("rb") as source:
        is_utf16 = source.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}
    # latin-1 has control characters where cp1252 has the quotes and dashes of Windows, which are what people type.
    guess = "utf-16" if is_utf16 else "cp1252" if 0x80 <= error.object[error.start] < 0xA0 else "latin-1"
    return BadTextError(f"{where}: {byte} is not UTF-8 but looks like {guess}; set encoding = '{guess}' for this input")
