"""A made-up company that serves other companies, with known truth planted in it: for demonstration, tests, benchmarks.

Everything is drawn from a seed and counts back from the end, so the same arguments give the same bytes, and another end
moves the whole picture. What is planted stands in `planted_changes`;
nothing else in the product may know it, and the sample imports nothing of the product.
"""

from datetime import date
from pathlib import Path
from typing import Final

from queries.sample.columns import Files
from queries.sample.company import company_tables
from queries.sample.contacts import comebacks, contact_columns, desk_contacts, journey_contacts
from queries.sample.draws import Timeline
from queries.sample.journeys import defect_columns, draw_journeys, journey_columns, world
from queries.sample.planted_changes import PlantedAction, planted_actions
from queries.sample.surveys import (
    about_contacts,
    about_journeys,
    about_relationship,
    planted_columns,
    response_columns,
)

__all__ = ["FEWEST", "PlantedAction", "generate", "planted_actions"]

FEWEST: Final = 1_000
"""The smallest number of contacts that makes a company."""


def generate(folder: Path, *, end: date, seed: int = 1, contacts: int = 200_000) -> None:
    """Write the sample as one Parquet file a canonical table, TABLE.parquet in `folder`.

    Args:
        folder: made if absent. The files take their names when all are whole.
        end: the first day that is not covered. The 24 full months before its month are, and its month so far.
        seed: draws depend on it and on nothing else but the arguments.
        contacts: about how many contacts; the responses are about a fifth of it. Memory does not grow with it.

    Raises:
        ValueError: fewer contacts than `FEWEST`, or a negative seed.
    """
    if contacts < FEWEST or seed < 0:
        raise ValueError(f"the sample needs at least {FEWEST} contacts and a seed of 0 or more")
    made = world(Timeline(end), seed, contacts)
    with Files(folder) as files:
        for name, columns in company_tables(made.span, made.customers, seed):
            files.write(name, columns)
        for chunk, numbers in made.chunks():
            journeys = draw_journeys(made, chunk, numbers)
            files.write("journey", journey_columns(made, journeys))
            files.write("defect", defect_columns(made, chunk, journeys))
            files.write("response", response_columns(made, chunk, "R", about_journeys(made, chunk, journeys)))
            for some in (journey_contacts(made, chunk, journeys), desk_contacts(made, chunk, numbers)):
                files.write("contact", contact_columns(made, chunk, some))
                prefix = {"C": "T", "S": "U"}[some.prefix]
                files.write("response", response_columns(made, chunk, prefix, about_contacts(made, chunk, some)))
            files.write("contact", contact_columns(made, chunk, comebacks(made, chunk, journeys)))
            files.write("response", response_columns(made, chunk, "N", about_relationship(made, chunk, numbers)))
        files.write("response", planted_columns(made))
