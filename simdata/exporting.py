"""From a data set folder to the files of other formats.

The payments of all banks are read as their files have them, each payment once: at its payer's bank,
or at its payee's if the payer is outside.  Labels come along; what a format has no place for
(balances, risk scores in AMLworld's) is left out.  DuckDB reads and writes, within bounded memory.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from bank_node.errors import MissingFileError, UnreadableFileError
from simdata.amlworld import ACCOUNT_COLUMNS, PAYMENT_COLUMNS
from simdata.column_map import ACCOUNT_FIELDS, PAYMENT_FIELDS, TableMap, read_map
from simdata.currencies import CURRENCIES
from simdata.dataset import Dataset, bank_folder, fresh_folder, read_dataset
from simdata.rejects import REJECTED
from simdata.staging import Stage, open_stage, quoted

__all__ = ["export_amlworld", "export_csv"]

_PAYMENT = ("tx_id", "timestamp", "from_bank", "from_account", "to_bank", "to_account", "amount",
            "currency", "channel")  # fmt: skip
_FORMATS = {"card": "Credit Card", "cash": "Cash", "wire": "Wire"}


def export_amlworld(folder: Path, out: Path, *, force: bool = False) -> Dataset:
    """Write ``<name>_Trans.csv``, ``<name>_accounts.csv`` and, if there are labels, the patterns.

    Times lose their seconds, and ids of payments are left out: the format has no place for them.

    Args:
        folder: the data set.
        out: the folder to write.
        force: replace what an older export wrote.

    Raises:
        DataError: there is no data set, or ``out`` is in use.
    """
    dataset = read_dataset(folder)
    name = re.sub(r"[^\w.-]", "_", dataset.name)
    trans = f"{name}_Trans.csv"
    with (
        fresh_folder(out, force=force, holding=trans) as work,
        _pooled(folder, dataset, work) as stage,
    ):
        _amlworld_rows(stage)
        _copy(stage, "SELECT * EXCLUDE (pattern, typology, micros, tx_id) FROM amlworld",
              work / trans, PAYMENT_COLUMNS)  # fmt: skip
        accounts = """SELECT bank, bank, account, coalesce(customer, account),
            concat(upper(left(kind, 1)), substr(kind, 2), ' #', coalesce(customer, account))
            FROM accounts ORDER BY bank, account"""
        _copy(stage, accounts, work / f"{name}_accounts.csv", ACCOUNT_COLUMNS)
        _amlworld_patterns(stage, work / f"{name}_Patterns.txt")
    return dataset


def export_csv(
    folder: Path, out: Path, *, column_map: Path | None = None, force: bool = False
) -> Dataset:
    """Write all payments in one CSV file and all accounts in another, with the labels as columns.

    Args:
        folder: the data set.
        out: the folder to write.
        column_map: TOML file that names the columns, as of the import; None: our own names.
        force: replace what an older export wrote.

    Raises:
        DataError: there is no data set, the map is wrong, or ``out`` is in use.
    """
    dataset, mapping = read_dataset(folder), read_map(column_map)
    with (
        fresh_folder(out, force=force, holding=mapping.payments.file) as work,
        _pooled(folder, dataset, work) as stage,
    ):
        _write_mapped(stage, work, mapping.payments, PAYMENT_FIELDS, "payments")
        if mapping.account_table is not None:
            _write_mapped(stage, work, mapping.account_table, ACCOUNT_FIELDS, "accounts")
    return dataset


def _write_mapped(
    stage: Stage, work: Path, table: TableMap, known: tuple[str, ...], view: str
) -> None:
    """The fields that the map names, in our order, under the map's names."""
    fields = [name for name in known if name in table.columns]
    columns = ", ".join(_as_mapped(name, table) for name in fields)
    order = "micros, tx_id" if view == "payments" else "bank, account"
    query = f"SELECT {columns} FROM {view} ORDER BY {order}"  # noqa: S608 - names of this module
    _copy(stage, query, work / table.file, [table.columns[f] for f in fields], table.delimiter)


def _as_mapped(field: str, table: TableMap) -> str:
    if field == "timestamp":
        form = table.time or "%Y-%m-%dT%H:%M:%S.%fZ"
        return f"strftime(make_timestamptz(micros), {quoted(form)})"
    if table.decimal == "," and field in ("amount", "balance", "risk_score"):
        return f"replace({field}, '.', ',')"
    return field


@contextmanager
def _pooled(folder: Path, dataset: Dataset, work: Path) -> Iterator[Stage]:
    """Views ``payments`` and ``accounts`` (text columns; micros; is_illicit, pattern, typology)."""
    banks = {bank: bank_folder(folder, bank) for bank in dataset.banks}
    files = {bank: (_table(f, "accounts"), _table(f, "transactions")) for bank, f in banks.items()}
    patterns = _optional(folder / "labels", "patterns")
    sources = [path for pair in files.values() for path in pair]
    sources += [] if patterns is None else [patterns]
    with open_stage(work, sources) as stage:
        try:
            accounts = " UNION ALL ".join(
                f"SELECT {quoted(bank)} AS bank, {_texts(stage, pair[0], ACCOUNT_FIELDS[1:])}"
                for bank, pair in files.items()
            )
            stage.store("accounts", f"SELECT * FROM ({accounts}) WHERE account IS NOT NULL")  # noqa: S608
            _pool_labels(stage, patterns)
            _pool_payments(stage, {bank: pair[1] for bank, pair in files.items()})
            _write_lost(stage, work / REJECTED)
        except duckdb.Error as error:
            reason = (str(error).strip().splitlines() or ["DuckDB gave no reason"])[0]
            raise UnreadableFileError(
                f"{folder}: a table cannot be read ({reason})",
                "Look for the file with: undercurrent simdata describe",
            ) from error
        yield stage


def _pool_payments(stage: Stage, files: Mapping[str, Path]) -> None:
    """Views ``payments``, each once, and ``lost``, those without a time or an amount."""
    roster = ", ".join(f"canonical({quoted(bank)})" for bank in files)
    stage.con.execute("""CREATE TEMP MACRO canonical(x) AS CASE WHEN regexp_full_match(x, '[0-9]+')
        THEN coalesce(nullif(ltrim(x, '0'), ''), '0') ELSE x END""")
    parts = " UNION ALL ".join(
        f"""SELECT *, epoch_us(TRY_CAST(timestamp AS TIMESTAMPTZ)) AS micros
        FROM (SELECT {_texts(stage, path, _PAYMENT)})
        WHERE canonical(from_bank) = canonical({quoted(bank)})
            OR (canonical(from_bank) NOT IN ({roster})
                AND canonical(to_bank) = canonical({quoted(bank)}))"""  # noqa: S608 - quoted texts
        for bank, path in files.items()
    )
    stage.store("pooled", parts)
    fine = "micros IS NOT NULL AND coalesce(is_number(amount), false)"
    stage.store("lost", f"SELECT * FROM pooled WHERE NOT ({fine})")  # noqa: S608 - fixed text
    stage.store(
        "payments",
        f"""SELECT p.*, l.tx_id IS NOT NULL AS is_illicit, pattern, typology
        FROM pooled p LEFT JOIN pattern_of l ON p.tx_id = l.tx_id
        WHERE {fine} ORDER BY micros, p.tx_id""",  # noqa: S608 - fixed text
    )


def _write_lost(stage: Stage, path: Path) -> None:
    """What cannot be exported, if there is any, in the columns of an import's rejects."""
    if not stage.number("SELECT count(*) FROM lost"):
        return
    stage.con.execute(f"""COPY (
        SELECT 'transactions' AS file, CAST(NULL AS BIGINT) AS "row",
            CASE WHEN micros IS NULL THEN 'timestamp' ELSE 'amount' END AS field,
            CASE WHEN micros IS NULL THEN 'unparsable time' ELSE 'unparsable amount' END AS reason,
            'correct the payment in the folder of its bank' AS remedy,
            concat_ws(',', {", ".join(_PAYMENT)}) AS text
        FROM lost ORDER BY tx_id) TO {quoted(path)} (FORMAT csv, HEADER)""")  # noqa: S608


def _pool_labels(stage: Stage, patterns: Path | None) -> None:
    """View ``pattern_of`` (tx_id, pattern, typology), each laundering payment once."""
    if patterns is None:
        stage.con.execute("""CREATE TEMP VIEW pattern_of AS SELECT CAST(NULL AS VARCHAR) AS tx_id,
            CAST(NULL AS VARCHAR) AS pattern, CAST(NULL AS VARCHAR) AS typology WHERE false""")
        return
    texts = _texts(stage, patterns, ("tx_id", "pattern", "typology"))
    stage.store(
        "pattern_of",
        f"""SELECT DISTINCT ON (tx_id) tx_id, nullif(pattern, '') AS pattern,
            nullif(typology, '') AS typology
        FROM (SELECT {texts}) ORDER BY tx_id, pattern, typology""",  # noqa: S608 - fixed names
    )


def _amlworld_rows(stage: Stage) -> None:
    names = {code: name for name, code in reversed(list(CURRENCIES.items()))}
    currency = " ".join(
        f"WHEN {quoted(code)} THEN {quoted(_title(name))}" for code, name in names.items()
    )
    form = " ".join(f"WHEN {quoted(name)} THEN {quoted(text)}" for name, text in _FORMATS.items())
    stage.con.execute(f"""
        CREATE TEMP VIEW amlworld AS
        SELECT strftime(make_timestamptz(micros), '%Y/%m/%d %H:%M') AS moment, from_bank,
            from_account, to_bank, to_account, amount AS received,
            CASE currency {currency} ELSE currency END AS receiving, amount AS paid,
            receiving AS paying, CASE channel {form} ELSE 'ACH' END AS format,
            CAST(is_illicit AS INTEGER) AS laundering, pattern, typology, micros, tx_id
        FROM payments ORDER BY micros, tx_id
    """)  # noqa: S608 - quoted texts


def _title(name: str) -> str:
    return " ".join(w.upper() if w in ("us", "uk") else w.capitalize() for w in name.split())


def _amlworld_patterns(stage: Stage, path: Path) -> None:
    """Blocks of the payments of each pattern, between a BEGIN and an END line."""
    if not stage.number("SELECT count(*) FROM payments WHERE pattern IS NOT NULL"):
        return
    row = "concat_ws(',', *COLUMNS(* EXCLUDE (pattern, typology, micros, tx_id)))"
    kind = "'LAUNDERING ATTEMPT - ' || upper(coalesce(typology, 'random'))"
    stage.con.execute(f"""COPY (
        SELECT line FROM (
            SELECT pattern, 1 AS part, micros, tx_id, {row} AS line
            FROM amlworld WHERE pattern IS NOT NULL
            UNION ALL SELECT pattern, 0, 0, '', 'BEGIN ' || {kind}
            FROM (SELECT DISTINCT pattern, typology FROM payments WHERE pattern IS NOT NULL)
            UNION ALL SELECT pattern, 2, 0, '', 'END ' || {kind}
            FROM (SELECT DISTINCT pattern, typology FROM payments WHERE pattern IS NOT NULL))
        ORDER BY length(pattern), pattern, part, micros, tx_id)
        TO {quoted(path)} (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER E'\\x01')""")  # noqa: S608


def _copy(
    stage: Stage, query: str, path: Path, header: Sequence[str], delimiter: str = ","
) -> None:
    """Write rows as CSV under a header of our own, in which a name may stand twice."""
    body = path.with_name(path.name + ".rows")
    stage.con.execute(
        f"COPY ({query}) TO {quoted(body)}"
        f" (FORMAT csv, HEADER false, DELIMITER {quoted(delimiter)})"
    )
    with path.open("wb") as whole, body.open("rb") as rows:
        whole.write(_header_line(header, delimiter).encode())
        while block := rows.read(1 << 20):
            whole.write(block)
    body.unlink()


def _header_line(names: Sequence[str], delimiter: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerow(names)
    return text.getvalue()


def _table(folder: Path, name: str) -> Path:
    found = _optional(folder, name)
    if found is None:
        raise MissingFileError(
            f"{folder}: neither {name}.csv nor {name}.parquet is there", "Complete the data set"
        )
    return found


def _optional(folder: Path, name: str) -> Path | None:
    paths = (folder / f"{name}.parquet", folder / f"{name}.csv")
    return next((path for path in paths if path.is_file()), None)


def _texts(stage: Stage, path: Path, fields: tuple[str, ...]) -> str:
    """A select list of the fields as text, NULL for those that the file lacks, and its FROM."""
    place = quoted(path.resolve())
    source = (
        f"read_parquet({place})"
        if path.suffix == ".parquet"
        else f"read_csv({place}, all_varchar = true, header = true, delim = ',', quote = '\"')"
    )
    described = stage.con.execute(f"SELECT * FROM {source} LIMIT 0").description  # noqa: S608
    names = {str(column[0]).lower() for column in described}
    columns = ", ".join(
        f"CAST({name} AS VARCHAR) AS {name}"
        if name in names
        else f"CAST(NULL AS VARCHAR) AS {name}"
        for name in fields
    )
    return f"{columns} FROM {source}"
