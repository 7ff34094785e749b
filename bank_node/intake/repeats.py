"""Which payments are there already: the same again, or another under an id that is taken.

Ids are compared by 64-bit hashes first, which hold in memory; only rows whose hash occurs twice are
compared by their ids and contents.  Of the files held, the column of ids is read in full, the rest
only in files with such a row.
"""

from collections.abc import Sequence
from pathlib import Path

from bank_node.intake.batch import CONTENT, Batch
from bank_node.sandbox import quoted

__all__ = ["find_repeats"]


def find_repeats(batch: Batch, held: Sequence[Path]) -> None:
    """Fill ``verdicts`` (file, row, verdict) with the rows that are repeated or in conflict.

    A payment held wins over one of the batch, and the first of the batch over later ones.

    Args:
        batch: the staged batch.
        held: files of payments held.
    """
    batch.con.execute("CREATE TEMP TABLE ids AS SELECT hash(tx_id) AS id FROM fresh")
    batch.con.execute("""
        CREATE TEMP TABLE suspects AS SELECT id FROM ids GROUP BY id HAVING count(*) > 1
    """)
    hits = _suspects_held(batch, held)
    batch.con.execute("DROP TABLE ids")
    if batch.number("SELECT count(*) FROM suspects"):
        _judge(batch, hits)
    batch.con.execute("DROP TABLE suspects")


def _suspects_held(batch: Batch, held: Sequence[Path]) -> list[str]:
    """Add the ids that are held to ``suspects``; the files that hold them."""
    if not held:
        return []
    batch.con.execute(f"""
        CREATE TEMP TABLE hits AS
        SELECT hash(tx_id) AS id, filename FROM read_parquet({_files(held)}, filename = true)
        WHERE hash(tx_id) IN (SELECT id FROM ids)
    """)  # noqa: S608 - files of this package
    batch.con.execute(
        "INSERT INTO suspects SELECT DISTINCT id FROM hits EXCEPT SELECT id FROM suspects"
    )
    found = batch.con.execute("SELECT DISTINCT filename FROM hits ORDER BY filename").fetchall()
    batch.con.execute("DROP TABLE hits")
    return [str(name) for (name,) in found]


def _judge(batch: Batch, hits: Sequence[str]) -> None:
    source = f"read_parquet({_files(hits)})" if hits else "fresh WHERE false"
    where = " WHERE hash(tx_id) IN (SELECT id FROM suspects)" if hits else ""
    batch.con.execute(f"""
        CREATE TEMP TABLE known AS
        SELECT tx_id, {CONTENT} AS content, -1 AS file, CAST(-1 AS BIGINT) AS "row"
        FROM {source}{where}
    """)  # noqa: S608 - files and columns of this package
    batch.con.execute(f"""
        CREATE TEMP TABLE doubtful AS SELECT file, "row", tx_id, {CONTENT} AS content
        FROM fresh WHERE hash(tx_id) IN (SELECT id FROM suspects)
    """)  # noqa: S608 - columns of this package
    batch.con.execute("""
        INSERT INTO known
        SELECT tx_id, arg_min(content, place), min(place).file, min(place).place_row
        FROM (SELECT *, {'file': file, 'place_row': "row"} AS place FROM doubtful) d
        WHERE NOT EXISTS (FROM known k WHERE k.tx_id = d.tx_id) GROUP BY tx_id
    """)
    batch.con.execute("""
        INSERT INTO verdicts
        SELECT d.file, d."row", if(d.content = k.content, 'repeated', 'conflict')
        FROM doubtful d JOIN known k USING (tx_id)
        WHERE NOT (d.file = k.file AND d."row" = k."row")
    """)
    batch.con.execute("DROP TABLE doubtful; DROP TABLE known")


def _files(paths: Sequence[Path] | Sequence[str]) -> str:
    return "[" + ", ".join(quoted(str(path)) for path in paths) + "]"
