"""The sources that a load reads, and the tables that they may fill."""

import codecs
from pathlib import PurePath
from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from config.models.values import ZERO, Duration, FrozenModel, KeyedError, Name, Zone

TABLES: Final = frozenset(
    {
        "account",
        "account_history",
        "person",
        "revenue",
        "fx_rate",
        "journey",
        "contact",
        "response",
        "defect",
        "condition",
        "instrument",
    },
)
"""The tables a source may fill, and so the names its `.sql` files may have."""


class SourceInput(FrozenModel):
    """How one input of a source is read. `file` is relative to the load's data folder and may be a glob.

    Of CSV files: `skip` lines stand above the header, and `escape` stands before a quote inside a quoted value.
    """

    file: Annotated[str, Field(min_length=1)]
    format: Literal["csv", "parquet", "jsonl"]
    encoding: str = "utf-8"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    escape: Annotated[str, Field(min_length=1, max_length=1)] = '"'
    skip: Annotated[int, Field(ge=0, le=1000)] = 0

    @field_validator("file")
    @classmethod
    def _inside_the_data_folder(cls, file: str) -> str:
        if PurePath(file).is_absolute() or ".." in PurePath(file).parts or "\0" in file:
            message = f"{file!r} leaves the data folder; write a path relative to --data"
            raise ValueError(message)
        return file

    @field_validator("encoding")
    @classmethod
    def _known_to_python(cls, encoding: str) -> str:
        try:
            codecs.lookup(encoding)
        except (LookupError, ValueError):
            message = f"{encoding!r} is not a known encoding; write one such as 'utf-8', 'latin-1' or 'cp1252'"
            raise ValueError(message) from None
        return encoding

    @model_validator(mode="after")
    def _has_what_its_format_knows(self) -> Self:
        text, csv = {"csv", "jsonl"}, {"csv"}
        for key, formats in {"encoding": text, "delimiter": csv, "escape": csv, "skip": csv}.items():
            if key in self.model_fields_set and self.format not in formats:
                raise KeyedError(key, f"a {self.format} input has no {key!r}; leave it out")
        return self


class Source(FrozenModel):
    """A folder of SELECTs that maps somebody's files to the canonical tables."""

    name: Name
    zone: Zone
    mode: Literal["append", "snapshot"]
    settle: Duration = ZERO
    sample: bool = False
    max_rejected: Annotated[float, Field(ge=0, le=1)] = 0.05
    max_removed: Annotated[float, Field(ge=0, le=1)] = 0.1
    inputs: Annotated[dict[Name, SourceInput], Field(min_length=1)]
    note: str = ""
