"""Import of AMLworld data sets (Altman et al., 2023): ``*_Trans.csv`` and the files beside it.

The transactions name each account by its bank and its number, in two columns that are both called
``Account``; so columns are known by their place.  Leading zeros of bank ids do not count.  A
payment has two amounts: what the payer pays counts, in the payer's currency.  ``*_accounts.csv``
(customer and kind) and ``*_Patterns.txt`` (typologies) are read if they are there.  A pattern's row
is the payment that is equal to it in all columns, the first of several in order.

Published data sets have thousands of banks.  Above 64, or if ``banks`` is given, they are merged:
each bank goes whole to bank1..bankN by a hash with the seed, an account becomes
``<bank>-<account>``, and ``labels/banks`` says which bank went where.

Rates are those of the file itself: the median of received over paid, of payments between the two
currencies; where there is none, those of September 2022.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bank_node.errors import MissingFileError, ParameterError
from simdata.currencies import code_of
from simdata.dataset import Dataset, fresh_folder
from simdata.importing import MOST_BANKS, Layout, bank_by_hash, blocks_of, check_banks, settle
from simdata.staging import (
    Stage,
    check_header,
    open_stage,
    quoted,
    read_header,
    scan_csv,
    scan_lines,
)
from simdata.writer import write_blocks

__all__ = ["ACCOUNT_COLUMNS", "PAYMENT_COLUMNS", "import_amlworld"]

PAYMENT_COLUMNS = (
    "Timestamp", "From Bank", "Account", "To Bank", "Account", "Amount Received",
    "Receiving Currency", "Amount Paid", "Payment Currency", "Payment Format", "Is Laundering",
)  # fmt: skip
ACCOUNT_COLUMNS = ("Bank Name", "Bank ID", "Account Number", "Entity ID", "Entity Name")

_SUFFIX = "_trans.csv"
_MERGED = 8
_FIELDS = len(PAYMENT_COLUMNS)
_LINE = "concat_ws(',', " + ", ".join(f"coalesce(c{i}, '')" for i in range(_FIELDS)) + ")"
_KEY = (
    "concat_ws(',', c0, ltrim(c1, '0'), c2, ltrim(c3, '0'), c4, "
    + ", ".join(f"c{i}" for i in range(5, _FIELDS - 1))
    + ")"
)

# Dollars for one unit, September 2022, for currencies that the file never exchanges.
_DOLLARS: Mapping[str, float] = {
    "USD": 1.0, "EUR": 0.99, "GBP": 1.13, "JPY": 0.007, "CNY": 0.143, "INR": 0.0125, "RUB": 0.0167,
    "AUD": 0.67, "CAD": 0.75, "CHF": 1.03, "ILS": 0.29, "MXN": 0.05, "BRL": 0.19, "SAR": 0.266,
    "XBT": 19800.0,
}  # fmt: skip


@dataclass(frozen=True)
class _Files:
    """The files of a data set; None: not there."""

    payments: Path
    accounts: Path | None
    patterns: Path | None

    def all(self) -> list[Path]:
        return [path for path in (self.payments, self.accounts, self.patterns) if path is not None]


def import_amlworld(
    src: Path,
    out: Path,
    *,
    banks: int | None = None,
    seed: int = 1,
    csv: bool = False,
    force: bool = False,
) -> Dataset:
    """Turn an AMLworld data set into a data set folder.

    Args:
        src: a ``*_Trans.csv``, or a folder with one.
        out: the folder to write.
        banks: number of banks to merge into; None: keep the banks if there are 64 at most, else 8.
        seed: seed of the merging.
        csv: write CSV instead of Parquet.
        force: replace an older data set.

    Raises:
        DataError: the source has another format, or ``out`` is in use.
    """
    check_banks(banks)
    files = _find(src)
    check_header(files.payments, _plain(read_header(files.payments)), PAYMENT_COLUMNS)
    if files.accounts is not None:
        check_header(files.accounts, read_header(files.accounts), ACCOUNT_COLUMNS)
    with fresh_folder(out, force=force) as work, open_stage(work, files.all()) as stage:
        return _import(stage, work, files, banks, seed, csv=csv)


def _plain(names: list[str]) -> list[str]:
    """The header with the names that other tools give to the second ``Account``."""
    return ["Account" if name.lower() in ("account.1", "account_1") else name for name in names]


def _find(src: Path) -> _Files:
    if src.is_file():
        return _beside(src)
    if not src.is_dir():
        raise MissingFileError(f"{src}: there is no such file or folder", "Check the path")
    found = sorted(path for path in src.iterdir() if path.name.lower().endswith(_SUFFIX))
    if len(found) != 1:
        count = "no *_Trans.csv" if not found else f"{len(found)} files *_Trans.csv"
        raise MissingFileError(
            f"{src}: there is {count} in it", "Name the *_Trans.csv of one AMLworld data set"
        )
    return _beside(found[0])


def _beside(payments: Path) -> _Files:
    lower = payments.name.lower()
    prefix = payments.name[: -len(_SUFFIX)] if lower.endswith(_SUFFIX) else payments.stem
    around = {path.name.lower(): path for path in payments.parent.iterdir() if path.is_file()}
    return _Files(
        payments,
        around.get(f"{prefix}_accounts.csv".lower()),
        around.get(f"{prefix}_patterns.txt".lower()),
    )


def _import(
    stage: Stage, work: Path, files: _Files, banks: int | None, seed: int, *, csv: bool
) -> Dataset:
    scans = {"payments_file": files.payments.name}
    scan_csv(stage, files.payments, "payments_file", _FIELDS)
    if files.accounts is not None:
        scans["accounts_file"] = files.accounts.name
        scan_csv(stage, files.accounts, "accounts_file", len(ACCOUNT_COLUMNS))
    _read_patterns(stage, files.patterns)
    if files.patterns is not None:
        scans["pattern_lines"] = files.patterns.name
    merged = _merged(stage, files, banks)
    _payment_view(stage, files.payments.name, merged, seed)
    _account_view(stage, files.accounts, merged, seed)
    base, rates = _rates(stage)
    layout = Layout(
        name=files.payments.stem.removesuffix("_Trans"),
        base_currency=base,
        rates=rates,
        account_columns=("customer", "kind") if files.accounts is not None else (),
        listed=files.accounts is not None,
    )
    dataset = settle(stage, work, layout, scans, csv=csv)
    if merged:
        _write_merging(stage, work / "labels" / "banks", merged, seed, csv=csv)
    return dataset


# --- banks ---------------------------------------------------------------------------------------


def _merged(stage: Stage, files: _Files, banks: int | None) -> int:
    """Number of banks to merge into; 0: none, the banks are kept.  Makes the view ``own_banks``."""
    listed = "" if files.accounts is None else " UNION SELECT ltrim(c1, '0') FROM accounts_file"
    stage.store(
        "own_banks",
        f"""SELECT coalesce(nullif(bank, ''), '0') AS bank FROM (
            SELECT ltrim(c1, '0') AS bank FROM payments_file
            UNION SELECT ltrim(c3, '0') FROM payments_file{listed})
        WHERE bank IS NOT NULL ORDER BY bank""",  # noqa: S608 - fixed names
    )
    there = stage.number("SELECT count(*) FROM own_banks")
    if banks is not None and banks > there:
        raise ParameterError(
            f"{files.payments}: its {there} banks cannot be merged into {banks}",
            f"Ask for 1 to {max(there, 1)} banks, or leave out --banks",
        )
    if banks is None:
        return _MERGED if there > MOST_BANKS else 0
    return 0 if banks == there else banks


def _own(column: str) -> str:
    """A bank's id without leading zeros."""
    return f"coalesce(nullif(ltrim({column}, '0'), ''), '0')"


def _bank(column: str, merged: int, seed: int) -> str:
    bank = bank_by_hash(_own(column), merged, seed) if merged else _own(column)
    return f"CASE WHEN {column} IS NOT NULL THEN {bank} END"


def _account(bank: str, account: str, merged: int) -> str:
    if not merged:
        return account
    return f"CASE WHEN {account} IS NOT NULL THEN {_own(bank)} || '-' || {account} END"


def _write_merging(stage: Stage, stem: Path, merged: int, seed: int, *, csv: bool) -> None:
    whole = bank_by_hash("bank", merged, seed)
    query = f"SELECT bank AS original, {whole} AS bank FROM own_banks"  # noqa: S608 - fixed names
    write_blocks(blocks_of(stage, query), stem, csv=csv)


# --- tables --------------------------------------------------------------------------------------


def _payment_view(stage: Stage, file: str, merged: int, seed: int) -> None:
    moment = "coalesce(try_strptime(c0, '%Y/%m/%d %H:%M'), try_strptime(c0, '%Y/%m/%d %H:%M:%S'))"
    stage.con.execute(f"""
        CREATE TEMP VIEW raw_payments AS
        SELECT {quoted(file)} AS file, f.rank, CAST(NULL AS VARCHAR) AS tx_id,
            epoch_us({moment}) AS micros, c0 AS time_text,
            {_bank("c1", merged, seed)} AS from_bank,
            {_account("c1", "c2", merged)} AS from_account,
            {_bank("c3", merged, seed)} AS to_bank, {_account("c3", "c4", merged)} AS to_account,
            c7 AS amount, {code_of("c8")} AS currency,
            replace(lower(c9), ' ', '-') AS channel, coalesce(c10, '0') = '1' AS illicit,
            p.pattern, p.typology, {_LINE} AS text
        FROM payments_file f LEFT JOIN pattern_of p ON f.rank = p.rank
    """)  # noqa: S608 - fixed names, quoted texts


def _account_view(stage: Stage, path: Path | None, merged: int, seed: int) -> None:
    nothing = ", ".join(f"CAST(NULL AS VARCHAR) AS c{i}" for i in range(len(ACCOUNT_COLUMNS)))
    empty = f"(SELECT CAST(NULL AS BIGINT) AS rank, {nothing} WHERE false)"
    line = "concat_ws(',', " + ", ".join(f"coalesce(c{i}, '')" for i in range(5)) + ")"
    stage.con.execute(f"""
        CREATE TEMP VIEW raw_accounts AS
        SELECT {quoted(path.name if path else "")} AS file, rank,
            {_bank("c1", merged, seed)} AS bank, {_account("c1", "c2", merged)} AS account,
            c3 AS customer, CAST(NULL AS VARCHAR) AS opened,
            nullif(replace(lower(regexp_replace(c4, '\\s*#.*$', '')), ' ', '-'), '') AS kind,
            CAST(NULL AS VARCHAR) AS risk_score, CAST(NULL AS VARCHAR) AS balance, {line} AS text
        FROM {"accounts_file" if path else empty}
    """)  # noqa: S608 - fixed names, quoted texts


def _rates(stage: Stage) -> tuple[str, dict[str, float]]:
    """The currency that most payments are paid in, and the value of each other in it."""
    found = stage.con.execute("""
        SELECT currency FROM raw_payments WHERE currency IS NOT NULL
        GROUP BY currency ORDER BY count(*) DESC, currency
    """).fetchall()
    names = [str(name) for (name,) in found] or ["USD"]
    base = names[0]
    exchanged = dict(
        stage.con.execute(
            f"""SELECT {code_of("c8")} AS paid,
                median(TRY_CAST(c5 AS DOUBLE) / TRY_CAST(c7 AS DOUBLE))
            FROM payments_file WHERE c6 <> c8 AND {code_of("c6")} = $base
                AND TRY_CAST(c7 AS DOUBLE) > 0 AND TRY_CAST(c5 AS DOUBLE) > 0 GROUP BY paid""",  # noqa: S608
            {"base": base},
        ).fetchall()
    )
    rates = {}
    for name in sorted(names[1:]):
        if name in exchanged:
            rates[name] = float(f"{exchanged[name]:.6g}")
        elif name in _DOLLARS and base in _DOLLARS:
            rates[name] = float(f"{_DOLLARS[name] / _DOLLARS[base]:.6g}")
    return base, rates


# --- patterns ------------------------------------------------------------------------------------


def _read_patterns(stage: Stage, path: Path | None) -> None:
    """View ``pattern_of`` (rank, pattern, typology) of the payments that stand in a pattern."""
    if path is None:
        stage.con.execute("""CREATE TEMP VIEW pattern_of AS SELECT CAST(NULL AS BIGINT) AS rank,
            CAST(NULL AS VARCHAR) AS pattern, CAST(NULL AS VARCHAR) AS typology WHERE false""")
        return
    scan_lines(stage, path, "pattern_lines")
    names = ", ".join(f"clean(split_part(line, ',', {i + 1})) AS c{i}" for i in range(_FIELDS))
    stage.store(
        "pattern_rows",
        f"""SELECT rank, printf('p%04d', block) AS pattern, typology, {names} FROM (
            SELECT rank, trim(line) AS line,
                count(*) FILTER (trim(line) LIKE 'BEGIN %') OVER before AS block,
                last_value(lower(replace(nullif(regexp_extract(trim(line),
                    '^BEGIN LAUNDERING ATTEMPT - ([^:]+)', 1), ''), ' ', '-')) IGNORE NULLS)
                    OVER before AS typology
            FROM pattern_lines
            WINDOW before AS (ORDER BY rank ROWS UNBOUNDED PRECEDING))
        WHERE line LIKE '%,%' AND NOT line LIKE 'BEGIN %'""",  # noqa: S608 - fixed names
    )
    numbered = f"row_number() OVER (PARTITION BY {_KEY} ORDER BY rank)"
    stage.store(
        "pattern_pairs",
        f"""SELECT f.rank, p.rank AS line, pattern, trim(typology, '-') AS typology, text
        FROM (SELECT rank, pattern, typology, {_KEY} AS key, {numbered} AS place, {_LINE} AS text
            FROM pattern_rows) p
        LEFT JOIN (SELECT rank, {_KEY} AS key, {numbered} AS place
            FROM payments_file WHERE c10 = '1') f USING (key, place)""",  # noqa: S608 - fixed names
    )
    stage.con.execute("CREATE TEMP VIEW pattern_of AS FROM pattern_pairs WHERE rank IS NOT NULL")
    stage.con.execute("""CREATE TEMP TABLE pattern_lines_broken AS
        SELECT line AS "row", 'no such payment' AS reason, text FROM pattern_pairs
        WHERE rank IS NULL ORDER BY line""")
