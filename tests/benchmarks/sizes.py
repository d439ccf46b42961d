"""The sample at each size, made once and kept, and a warehouse loaded from it.

Run as `python -m tests.benchmarks.sizes CONTACTS` to make both. It is a process of its own: a child's peak memory
counts from its parent's, so whoever measures children must stay small.
"""

import sys
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final
from zlib import crc32

from config.models import Catalog
from config.reading import read_catalog, read_source
from queries.loading.load import LoadRequest, load
from queries.sample import generate
from queries.warehouse import COLUMNS, EmbeddedWarehouse
from tests.benchmarks.process import ROOT

# What an older generator made, or has other columns, would be measured as an error page.
_MADE_BY: Final = b"".join(file.read_bytes() for file in sorted((ROOT / "queries" / "sample").glob("*.*")))
_COLUMNS: Final = repr(sorted((name, sorted(columns)) for name, columns in COLUMNS.items())).encode()
FOLDER: Final = Path(tempfile.gettempdir()) / f"earshot-bench-{crc32(_MADE_BY + _COLUMNS):08x}"
END: Final = date(2026, 11, 1)
NOW: Final = datetime(2026, 11, 20, tzinfo=UTC)
CONFIG: Final = ROOT / "config"
SOURCE: Final = CONFIG / "sources" / "sample"


def catalog() -> Catalog:
    """The catalogue that ships."""
    return read_catalog(CONFIG, COLUMNS)


def files(contacts: int) -> Path:
    """The sample's Parquet files of that size."""
    folder = FOLDER / f"sample-{contacts}"
    if not (folder / "contact.parquet").exists():
        print(f"  making the sample of {contacts:,} contacts in {folder}", flush=True)
        generate(folder, end=END, contacts=contacts)
    return folder


def data(contacts: int) -> Path:
    """A data folder whose warehouse holds the sample of that size."""
    folder = FOLDER / f"data-{contacts}"
    warehouse = EmbeddedWarehouse(folder / "warehouse")
    if warehouse.files.current() == 0:
        print(f"  loading {contacts:,} contacts into {folder}", flush=True)
        load(warehouse, LoadRequest(read_source(SOURCE), SOURCE, files(contacts), catalog()), NOW, lambda _: None)
    warehouse.close()
    return folder


def label(contacts: int) -> str:
    """100k, 1M, 10M."""
    return f"{contacts // 1_000_000}M" if contacts >= 1_000_000 else f"{contacts // 1000}k"


if __name__ == "__main__":
    data(int(sys.argv[1]))
