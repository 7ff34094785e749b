"""Import of SAML-D (Oztas et al., 2023): one CSV file, no banks.

Accounts are split over bank1..bankN by a hash of their number with a seed.  ``Laundering_type``
tells the kind of every payment, innocent or not: that of laundering payments goes to the labels,
the rest nowhere.  The file tells which currency each side uses but no rate between them; amounts
are taken as they stand, as pounds, and the currencies are left out.
"""

from pathlib import Path

from bank_node.errors import MissingFileError
from simdata.dataset import Dataset, fresh_folder
from simdata.importing import Layout, bank_by_hash, check_banks, settle
from simdata.staging import Stage, check_header, open_stage, quoted, read_header, scan_csv

__all__ = ["import_saml_d"]

_COLUMNS = (
    "Time", "Date", "Sender_account", "Receiver_account", "Amount", "Payment_currency",
    "Received_currency", "Sender_bank_location", "Receiver_bank_location", "Payment_type",
    "Is_laundering", "Laundering_type",
)  # fmt: skip
_DEFAULT_BANKS = 3


def import_saml_d(
    src: Path,
    out: Path,
    *,
    banks: int | None = None,
    seed: int = 1,
    csv: bool = False,
    force: bool = False,
) -> Dataset:
    """Turn SAML-D into a data set folder.

    Args:
        src: the CSV file, or a folder with ``SAML-D.csv`` or one CSV file.
        out: the folder to write.
        banks: number of banks to split over, 3 if None.
        seed: seed of the split.
        csv: write CSV instead of Parquet.
        force: replace an older data set.

    Raises:
        DataError: the source has another format, or ``out`` is in use.
    """
    check_banks(banks)
    path = _find(src)
    check_header(path, read_header(path), _COLUMNS)
    with fresh_folder(out, force=force) as work, open_stage(work, [path]) as stage:
        scan_csv(stage, path, "payments_file", len(_COLUMNS))
        _lay_views(stage, path.name, banks or _DEFAULT_BANKS, seed)
        names = tuple(f"bank{i + 1}" for i in range(banks or _DEFAULT_BANKS))
        layout = Layout(path.stem, "GBP", listed=False, banks=names)
        return settle(stage, work, layout, {"payments_file": path.name}, csv=csv)


def _find(src: Path) -> Path:
    if src.is_file():
        return src
    if not src.is_dir():
        raise MissingFileError(f"{src}: there is no such file or folder", "Check the path")
    found = sorted(src.glob("*.csv"))
    named = [path for path in found if path.name.lower() == "saml-d.csv"]
    if len(named or found) != 1:
        raise MissingFileError(f"{src}: there is no SAML-D.csv in it", "Name the CSV file")
    return (named or found)[0]


def _lay_views(stage: Stage, file: str, banks: int, seed: int) -> None:
    line = "concat_ws(',', " + ", ".join(f"coalesce(c{i}, '')" for i in range(12)) + ")"
    sides = [
        f"CASE WHEN {side} IS NOT NULL THEN {bank_by_hash(side, banks, seed)} END"
        for side in ("c2", "c3")
    ]
    stage.con.execute(f"""
        CREATE TEMP VIEW raw_payments AS
        SELECT {quoted(file)} AS file, rank, CAST(NULL AS VARCHAR) AS tx_id,
            epoch_us(try_strptime(concat(c1, ' ', c0), '%Y-%m-%d %H:%M:%S')) AS micros,
            CASE WHEN c0 IS NOT NULL AND c1 IS NOT NULL THEN concat(c1, ' ', c0) END AS time_text,
            {sides[0]} AS from_bank, c2 AS from_account, {sides[1]} AS to_bank, c3 AS to_account,
            c4 AS amount, 'GBP' AS currency,
            replace(lower(c9), ' ', '-') AS channel, coalesce(c10, '0') IN ('1', '1.0') AS illicit,
            CAST(NULL AS VARCHAR) AS pattern, replace(lower(c11), '_', '-') AS typology,
            {line} AS text
        FROM payments_file;
        CREATE TEMP VIEW raw_accounts AS
        SELECT '' AS file, CAST(NULL AS BIGINT) AS rank, CAST(NULL AS VARCHAR) AS bank,
            CAST(NULL AS VARCHAR) AS account, CAST(NULL AS VARCHAR) AS customer,
            CAST(NULL AS VARCHAR) AS opened, CAST(NULL AS VARCHAR) AS kind,
            CAST(NULL AS VARCHAR) AS risk_score, CAST(NULL AS VARCHAR) AS balance,
            CAST(NULL AS VARCHAR) AS text
        WHERE false
    """)  # noqa: S608 - fixed names, quoted texts
