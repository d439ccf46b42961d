"""The database engines, the SQL and the instants in which they differ, and the few functions that hide it.

May import config, and nothing of queries.
"""

from queries.engine.engines import (
    LACKING,
    MEMORY_LIMIT,
    NOT_COMPUTED,
    READING_LIMIT,
    STORE_ERRORS,
    ChangeCount,
    append,
    arriving,
    attached,
    connected,
    disposing,
    embedded,
    fetch_arrow,
    insert_arrow,
    journal,
    one_at_a_time,
    reading,
    recovering,
    rewrite,
    shared,
    spill_of,
    vacuum,
)
from queries.engine.instants import aware, day_of, day_start, naive
from queries.engine.sql_functions import epoch, hash64, micros, newest_value, quantile, sha256_hex, whole
