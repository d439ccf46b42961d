"""What keeps an installation: backup and restore, erasure, the demo, its status and its health.

May import every other room of queries, and config.
"""

from queries.operations.command_line import (
    add_format,
    add_until,
    end_process,
    on_the_wall,
    parse_day,
    parse_instant,
    parse_span,
    run_command,
    whole,
)
from queries.operations.erase import finish_erasures, forget
from queries.operations.output import FORMATS, aligned, echo, on_one_line, print_table, printable
from queries.operations.storage_errors import refusal, storage_error, storage_errors_as_text
