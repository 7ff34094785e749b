"""Tables written as Parquet or CSV, block by block, so that no table need be in memory whole."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bank_node.raw_tables import connect

__all__ = ["write_blocks", "write_table"]


def write_table(table: pa.Table, stem: Path, *, csv: bool) -> None:
    """Write a table beside ``stem``, with the ending of its format."""
    write_blocks([table.combine_chunks()], stem, csv=csv)


def write_blocks(blocks: Iterable[pa.Table], stem: Path, *, csv: bool) -> None:
    """Write tables of equal columns as one, in their order.

    Args:
        blocks: one at least; it may be without rows.
        stem: path of the file without its ending.
        csv: write CSV instead of Parquet.
    """
    rest = iter(blocks)
    first = next(rest)
    write = _write_csv if csv else _write_parquet
    write(first.schema, chain([first], rest), stem)


def _write_parquet(schema: pa.Schema, blocks: Iterator[pa.Table], stem: Path) -> None:
    with pq.ParquetWriter(stem.with_name(stem.name + ".parquet"), schema) as writer:
        for block in blocks:
            writer.write_table(block)


def _write_csv(schema: pa.Schema, blocks: Iterator[pa.Table], stem: Path) -> None:
    batches = (batch for block in blocks for batch in block.to_batches())
    reader = pa.RecordBatchReader.from_batches(schema, batches)
    target = str(stem.parent.resolve() / f"{stem.name}.csv").replace("'", "''")
    columns = ", ".join(_as_text(field) for field in schema)
    with connect(stem.parent) as con:
        con.register("source", reader)
        con.execute(f"COPY (SELECT {columns} FROM source) TO '{target}' (FORMAT csv, HEADER)")  # noqa: S608


def _as_text(field: pa.Field) -> str:
    """Times as ISO 8601, with microseconds only where there are some; all else as it is."""
    name = f'"{field.name}"'
    if not pa.types.is_timestamp(field.type):
        return name
    return (
        f"strftime({name}, CASE WHEN epoch_us({name}) % 1000000 = 0 THEN '%Y-%m-%dT%H:%M:%SZ'"
        f" ELSE '%Y-%m-%dT%H:%M:%S.%fZ' END) AS {name}"
    )
