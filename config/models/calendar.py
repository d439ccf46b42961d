"""How days add up to fiscal periods, and which of them are business days."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from config.models.values import FrozenModel, Listed

Weekday = Annotated[int, Field(ge=1, le=7)]
"""Monday is 1, as in ISO 8601."""


class Calendar(FrozenModel):
    """How days add up to periods, and which are business days."""

    fiscal_year_start: Annotated[int, Field(ge=1, le=12)] = 1
    pattern: Literal["months", "4-4-5"] = "months"
    weekend: Annotated[tuple[Weekday, ...], Listed, Field(max_length=6)] = (6, 7)
    holidays: Annotated[tuple[date, ...], Listed] = ()
