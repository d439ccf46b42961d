"""The text columns of a batch of rows, gone over where Arrow does it for a tenth of what SQL takes."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def without_empty(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch with every empty text as null: nothing said is not a value."""
    for place, column in enumerate(batch.columns):
        if pa.types.is_string(column.type) and pc.min(pc.binary_length(column)).as_py() == 0:
            text = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
            batch = batch.set_column(place, batch.schema.field(place), text)
    return batch


def column_with_nul(batch: pa.RecordBatch) -> str | None:
    """The first text column that holds a NUL character: PostgreSQL cannot store one, and no text means one."""
    texts = (name for name in batch.schema.names if pa.types.is_string(batch.schema.field(name).type))
    return next((name for name in texts if b"\0" in _characters(batch.column(name))), None)


def _characters(column: pa.StringArray) -> bytes:
    _, offsets, characters = column.buffers()
    if characters is None or not len(column):
        return b""
    ends = np.frombuffer(offsets, np.int32, len(column) + 1, column.offset * 4)
    return bytes(characters.slice(int(ends[0]), int(ends[-1] - ends[0])).to_pybytes())
