"""The state's older versions, and the way from each to the next."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from config import EarshotError

FOLDER: Final = Path(__file__).parent
FIRST: Final = "0002"
"""The first version that is made; what lies before it is completed to it."""

UNRELEASED: Final = "0001"
"""A version from before the first release; its tables are a part of those of the first."""


class NotOurTableError(EarshotError):
    """Something else in the state's database has the name of one of its tables."""


def config(conn: Connection | None = None) -> Config:
    """What alembic needs to know; everything is done in the connection's transaction."""
    made = Config()
    # Alembic reads its options as configparser does, for which a lone % begins the name of another option.
    made.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    made.attributes["connection"] = conn
    return made


def upgrade(conn: Connection, to: str = "head") -> None:
    """Bring the tables from the version that is noted up to another one."""
    command.upgrade(config(conn), to)
