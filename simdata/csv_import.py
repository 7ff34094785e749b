"""Import of CSV files with any columns, told by a map (:mod:`simdata.column_map`).

Without bank columns, accounts are split over bank1..bankN by a hash with a seed.  Without a column
of ids, payments are numbered by time.  A field that the map does not name is empty.
"""

from dataclasses import replace
from pathlib import Path

from bank_node.errors import MissingColumnError, MissingFileError, ParameterError
from simdata.column_map import ACCOUNT_FIELDS, PAYMENT_FIELDS, ColumnMap, TableMap, read_map
from simdata.dataset import Dataset, fresh_folder
from simdata.importing import Layout, bank_by_hash, check_banks, settle
from simdata.staging import Stage, open_stage, quoted, read_header, scan_csv

__all__ = ["import_csv"]

_DEFAULT_BANKS = 3
_DEFAULT_CURRENCY = "EUR"


def import_csv(
    src: Path,
    out: Path,
    *,
    banks: int | None = None,
    seed: int = 1,
    column_map: Path | None = None,
    csv: bool = False,
    force: bool = False,
) -> Dataset:
    """Turn CSV files into a data set folder.

    Args:
        src: the folder of the files, or the file of the payments.
        out: the folder to write.
        banks: number of banks to split over, 3 if None; refused if the files name banks.
        seed: seed of the split.
        column_map: TOML file that says which column is what; None: the columns of a data set.
        csv: write CSV instead of Parquet.
        force: replace an older data set.

    Raises:
        DataError: a file or a column is missing, the map is wrong, or ``out`` is in use.
    """
    check_banks(banks)
    mapping = read_map(column_map)
    payments, accounts = _find(src, mapping)
    header = read_header(payments, mapping.payments.delimiter)
    table = _those_there(mapping.payments, header) if mapping.own_columns else mapping.payments
    split = 0 if table.has("from_bank") else banks or _DEFAULT_BANKS
    if not split and banks is not None:
        raise ParameterError(f"{payments}: it names banks of its own", "Leave out --banks")
    sources = [payments] if accounts is None else [payments, accounts]
    with fresh_folder(out, force=force) as work, open_stage(work, sources) as stage:
        scans = {"payments_file": payments.name}
        scan_csv(stage, payments, "payments_file", len(header), delimiter=table.delimiter)
        _payment_view(stage, payments, table, header, mapping, split, seed)
        columns: tuple[str, ...] = ()
        if accounts is not None and mapping.account_table is not None:
            scans["accounts_file"] = accounts.name
            columns = _scan_accounts(stage, accounts, mapping.account_table, split, seed)
        else:
            _account_view(stage, "", dict.fromkeys(ACCOUNT_FIELDS, "NULL"), "NULL", None)
        layout = replace(
            _layout(src, mapping, table, split),
            account_columns=columns,
            listed=accounts is not None,
            base_currency=mapping.base_currency or _usual_currency(stage),
        )
        return settle(stage, work, layout, scans, csv=csv)


def _layout(src: Path, mapping: ColumnMap, table: TableMap, split: int) -> Layout:
    """What the map alone tells."""
    return Layout(
        name=src.resolve().stem,
        base_currency=_DEFAULT_CURRENCY,
        rates=dict(mapping.rates),
        labelled=table.has("is_illicit"),
        numbered=not table.has("tx_id"),
        banks=tuple(f"bank{i + 1}" for i in range(split)) or mapping.banks,
    )


def _usual_currency(stage: Stage) -> str:
    """The currency that most payments are in."""
    found = stage.con.execute("""
        SELECT upper(currency) AS c FROM raw_payments WHERE c IS NOT NULL
        GROUP BY c ORDER BY count(*) DESC, c LIMIT 1
    """).fetchall()
    return str(found[0][0]) if found else _DEFAULT_CURRENCY


def _find(src: Path, mapping: ColumnMap) -> tuple[Path, Path | None]:
    """The payments' file and the accounts' file; one that no map names may be missing."""
    payments = src if src.is_file() else src / mapping.payments.file
    if not payments.is_file():
        raise MissingFileError(f"{payments}: there is no such file", "Check the path, or the map")
    table = mapping.account_table
    if table is None or (src.is_file() and mapping.own_columns):
        return payments, None
    accounts = payments.parent / table.file
    if accounts.is_file():
        return payments, accounts
    if mapping.own_columns:
        return payments, None
    raise MissingFileError(f"{accounts}: there is no such file", "Check the map")


def _those_there(table: TableMap, header: list[str]) -> TableMap:
    """The default map without the optional columns that the file does not have."""
    needed = ("timestamp", "from_account", "to_account", "amount")
    columns = {f: c for f, c in table.columns.items() if f in needed or c in header}
    return table.model_copy(update={"columns": columns})


def _expressions(
    path: Path, table: TableMap, header: list[str], fields: tuple[str, ...]
) -> dict[str, str]:
    """SQL for the text of each field."""
    found = {}
    for name in fields:
        if name in table.columns:
            column = table.columns[name]
            if header.count(column) != 1:
                there = "twice" if column in header else "missing"
                raise MissingColumnError(
                    f"{path}: the column {column} is {there}", f"It has {', '.join(header)}"
                )
            found[name] = f"c{header.index(column)}"
        else:
            found[name] = quoted(table.constants[name]) if name in table.constants else "NULL"
    return found


def _number(expression: str, table: TableMap) -> str:
    if table.decimal == "." or expression == "NULL":
        return expression
    return f"replace(replace({expression}, '.', ''), ',', '.')"


def _micros(expression: str, table: TableMap) -> str:
    if table.time:
        return f"epoch_us(try_strptime({expression}, {quoted(table.time)}))"
    return f"epoch_us(TRY_CAST({expression} AS TIMESTAMPTZ))"


def _line(header: list[str], delimiter: str) -> str:
    columns = ", ".join(f"coalesce(c{i}, '')" for i in range(len(header)))
    return f"concat_ws({quoted(delimiter)}, {columns})"


def _hashed(account: str, split: int, seed: int) -> str:
    return f"CASE WHEN {account} IS NOT NULL THEN {bank_by_hash(account, split, seed)} END"


def _payment_view(
    stage: Stage,
    path: Path,
    table: TableMap,
    header: list[str],
    mapping: ColumnMap,
    split: int,
    seed: int,
) -> None:
    x = _expressions(path, table, header, PAYMENT_FIELDS)
    if split:
        x["from_bank"] = _hashed(x["from_account"], split, seed)
        x["to_bank"] = _hashed(x["to_account"], split, seed)
    currency = (
        x["currency"]
        if table.has("currency")
        else quoted(mapping.base_currency or _DEFAULT_CURRENCY)
    )
    yes = ", ".join(quoted(text.lower()) for text in mapping.illicit)
    text = {
        name: f"CAST({x[name]} AS VARCHAR) AS {name}"
        for name in (*PAYMENT_FIELDS[2:6], "tx_id", "channel", "pattern", "typology")
    }
    stage.con.execute(f"""
        CREATE TEMP VIEW raw_payments AS
        SELECT {quoted(path.name)} AS file, rank, {", ".join(text.values())},
            {_micros(x["timestamp"], table)} AS micros, {x["timestamp"]} AS time_text,
            CAST({_number(x["amount"], table)} AS VARCHAR) AS amount,
            CAST({currency} AS VARCHAR) AS currency,
            coalesce(lower(CAST({x["is_illicit"]} AS VARCHAR)) IN ({yes}), false) AS illicit,
            {_line(header, table.delimiter)} AS text
        FROM payments_file
    """)  # noqa: S608 - columns by number, quoted texts


def _scan_accounts(
    stage: Stage, path: Path, table: TableMap, split: int, seed: int
) -> tuple[str, ...]:
    """Read the accounts; returns the optional columns that are there."""
    header = read_header(path, table.delimiter)
    there = {f: c for f, c in table.columns.items() if f in ("bank", "account") or c in header}
    if split:
        there.pop("bank", None)
    present = table.model_copy(update={"columns": there})
    x = _expressions(path, present, header, ACCOUNT_FIELDS)
    if split:
        x["bank"] = _hashed(x["account"], split, seed)
    elif not present.has("bank"):
        raise MissingColumnError(f"{path}: the column bank is missing", "Name it in the map")
    for name in ("risk_score", "balance"):
        x[name] = _number(x[name], table)
    scan_csv(stage, path, "accounts_file", len(header), delimiter=table.delimiter)
    _account_view(stage, path.name, x, _line(header, table.delimiter), "accounts_file")
    return tuple(name for name in ACCOUNT_FIELDS[2:] if present.has(name))


def _account_view(
    stage: Stage, file: str, fields: dict[str, str], line: str, source: str | None
) -> None:
    texts = ", ".join(f"CAST({value} AS VARCHAR) AS {name}" for name, value in fields.items())
    rows = source or "(SELECT CAST(NULL AS BIGINT) AS rank WHERE false)"
    stage.con.execute(f"""
        CREATE TEMP VIEW raw_accounts AS
        SELECT {quoted(file)} AS file, rank, {texts}, CAST({line} AS VARCHAR) AS text FROM {rows}
    """)  # noqa: S608 - columns by number, quoted texts
