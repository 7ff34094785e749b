"""What makes a row usable: canonical ids, exact amounts and times, and why a row is rejected.

The rules are SQL over tables of text (:mod:`bank_node.raw_tables`), shared by the reader of a data
set folder (:mod:`bank_node.ingest`) and the node's intake (:mod:`bank_node.intake`), so that both
give the same ids and numbers for the same rows.

Amounts are exact: decimal text of up to eight places, times the rate of its currency (ten
significant digits), rounded half to even to the minor unit of the base currency.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from math import floor, isfinite, log10
from types import MappingProxyType

import duckdb

from bank_node.errors import CurrencyError
from bank_node.raw_tables import BLANKS, TableSpec

__all__ = [
    "ACCOUNTS",
    "CHECKED_TRANSACTIONS",
    "OPENING_BALANCES",
    "REMEDIES",
    "TRANSACTIONS",
    "canonical_account",
    "canonical_bank",
    "define_rules",
    "judge_accounts",
    "load_rates",
    "minor_units",
]

ACCOUNTS = TableSpec(
    "accounts",
    ("account",),
    ("customer", "opened", "kind", "risk_score", "balance", "balance_at", "in_scope"),
)
TRANSACTIONS = TableSpec(
    "transactions",
    (
        "tx_id",
        "timestamp",
        "from_bank",
        "from_account",
        "to_bank",
        "to_account",
        "amount",
        "currency",
    ),
    ("channel",),
)

_WITHOUT_DECIMALS = frozenset(re.findall("...", "BIFCLPDJFGNFISKJPYKMFKRWPYGRWFUGXVNDVUVXAFXOFXPF"))
_WITH_THREE_DECIMALS = frozenset(re.findall("...", "BHDIQDJODKWDLYDOMRTND"))

REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "wrong number of fields": (
            "give the line one field for each column; it may have been cut off"
        ),
        "broken line": "check the quotation marks of the line; it may have been cut off",
        "missing tx_id": "give each payment an id that is unique in the data set",
        "repeated tx_id": "give each payment its own id; the first row with this id was kept",
        "missing time": "give the time as ISO 8601",
        "unparsable time": "write the time as ISO 8601, such as 2026-03-01T12:30:00Z",
        "missing bank": "name the bank of both sides",
        "missing account": "name the account",
        "neither side at this bank": (
            "move the payment to the folder of the payer's or payee's bank"
        ),
        "missing amount": "give the amount",
        "unparsable amount": "write a plain number with a decimal point, such as 1250.00",
        "negative amount": "swap payer and payee and write the amount without a sign",
        "amount too large": "check the amount: it does not fit 64 bits in minor units",
        "unknown currency": "add a rate for this currency, or correct it",
        "unparsable risk score": "write a number from 0 to 1, or leave it empty",
        "risk score outside 0 to 1": "scale the risk score to 0 to 1",
        "unparsable balance": "write a plain number with a decimal point, or leave it empty",
        "balance too large": "check the balance: it does not fit 64 bits in minor units",
        "unparsable in_scope": "write true or false",
        "repeated account": "give one row for each account; the first was kept",
    }
)
"""Each reason to reject a row, with its remedy."""


def canonical_bank(bank: str) -> str:
    """The id under which all banks know a bank: without blanks around it and leading zeros."""
    text = bank.strip(BLANKS)
    return (text.lstrip("0") or "0") if re.fullmatch("[0-9]+", text) else text


def canonical_account(account: str) -> str:
    """The id under which all banks know an account: an IBAN upper case without blanks."""
    text = account.strip(BLANKS)
    dense = re.sub(f"[{BLANKS}]", "", text)
    is_iban = re.fullmatch("[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,30}", dense)
    return dense.upper() if is_iban else text


def minor_units(currency: str | None) -> int:
    """Decimals of the smallest unit of a currency."""
    if currency in _WITHOUT_DECIMALS:
        return 0
    return 3 if currency in _WITH_THREE_DECIMALS else 2


def define_rules(con: duckdb.DuckDBPyConnection) -> None:
    """Macros for canonical ids, exact amounts and times."""
    con.execute(r"""
        CREATE TEMP MACRO canonical_bank(x) AS CASE WHEN regexp_full_match(x, '[0-9]+')
            THEN coalesce(nullif(ltrim(x, '0'), ''), '0') ELSE x END;
        CREATE TEMP MACRO dense(x) AS regexp_replace(x, '[\s\x{0B}\x{A0}]+', '', 'g');
        CREATE TEMP MACRO canonical_account(x) AS
            CASE WHEN regexp_full_match(dense(x), '[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,30}')
            THEN upper(dense(x)) ELSE x END;
        CREATE TEMP MACRO is_number(x) AS
            regexp_full_match(x, '[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?');
        CREATE TEMP MACRO hundred_millionths(x) AS
            CAST(TRY_CAST(x AS DECIMAL(28, 8)) * CAST(100000000 AS DECIMAL(10, 0)) AS HUGEINT);
        CREATE TEMP MACRO round_division(p, d) AS
            p // d + CASE WHEN 2 * (p % d) > d OR (2 * (p % d) = d AND (p // d) % 2 = 1)
            THEN 1 ELSE 0 END;
        CREATE TEMP MACRO is_time(x) AS regexp_full_match(x, '[0-9]{4}-[0-9]{2}-[0-9]{2}'
            || '([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?'
            || '\s*(Z|[+-][01][0-9](:?[0-5][0-9])?)?)?');
        CREATE TEMP MACRO micros(x) AS CASE WHEN is_time(x)
            THEN epoch_us(TRY_CAST(x AS TIMESTAMPTZ)) END;
    """)


def load_rates(
    con: duckdb.DuckDBPyConnection, base: str | None, rates: Mapping[str, float]
) -> None:
    """Table ``rates``: minor units = 10^8 · amount · multiplier / divisor, and the own decimals."""
    con.execute("""CREATE TEMP TABLE rates
        (currency VARCHAR, multiplier HUGEINT, divisor HUGEINT, own_step HUGEINT)""")
    table = {name.strip(BLANKS).upper(): rate for name, rate in rates.items()}
    if base is not None:
        table[base] = 1.0
    for name, rate in table.items():
        if not (isfinite(rate) and 1e-9 <= rate <= 1e9):
            raise CurrencyError(
                f"The rate {rate} of {name} is no rate", "Give a number from 1e-9 to 1e9"
            )
        places = max(0, 9 - floor(log10(rate)))
        multiplier = round(Decimal(repr(float(rate))).scaleb(places))
        divisor = 10 ** (8 - minor_units(base) + places)
        con.execute(
            "INSERT INTO rates VALUES (?, ?, ?, ?)",
            [name, multiplier, divisor, 10 ** (8 - minor_units(name))],
        )


def judge_accounts(
    con: duckdb.DuckDBPyConnection, base: str | None, *, scope_declared: bool
) -> None:
    """Table ``accounts_judged`` from ``accounts_text``: values, and ``fault`` (field|reason)."""
    con.execute(
        """
        CREATE TEMP TABLE accounts_judged AS
        WITH parsed AS (
            SELECT "row", canonical_account(account) AS account, customer, opened, kind,
                coalesce(risk_score, '0') AS risk_text, TRY_CAST(risk_text AS DOUBLE) AS risk_score,
                balance AS balance_text, hundred_millionths(balance) AS units,
                CASE WHEN units < 0 THEN -1 ELSE 1 END * round_division(abs(units), $step) AS minor,
                balance_at AS balance_time, micros(balance_at) AS balance_at,
                CASE WHEN in_scope IS NULL THEN NOT $declared
                    WHEN lower(in_scope) IN ('true', 't', 'yes', 'y', '1', '1.0') THEN true
                    WHEN lower(in_scope) IN ('false', 'f', 'no', 'n', '0', '0.0') THEN false
                END AS in_scope
            FROM accounts_text),
        checked AS (
            SELECT *, CASE
                WHEN account IS NULL THEN 'account|missing account'
                WHEN NOT is_number(risk_text) OR risk_score IS NULL
                    THEN 'risk_score|unparsable risk score'
                WHEN NOT risk_score BETWEEN 0 AND 1 THEN 'risk_score|risk score outside 0 to 1'
                WHEN NOT is_number(balance_text) THEN 'balance|unparsable balance'
                WHEN balance_text IS NOT NULL
                    AND (minor IS NULL OR abs(minor) > 9223372036854775807)
                    THEN 'balance|balance too large'
                WHEN balance_time IS NOT NULL AND balance_at IS NULL
                    THEN 'balance_at|unparsable time'
                WHEN in_scope IS NULL THEN 'in_scope|unparsable in_scope'
            END AS fault FROM parsed)
        SELECT * REPLACE (CASE WHEN fault IS NULL AND row_number() OVER
                (PARTITION BY account, fault IS NULL ORDER BY "row") > 1
            THEN 'account|repeated account' ELSE fault END AS fault)
        FROM checked
        """,
        {"step": 10 ** (8 - minor_units(base)), "declared": scope_declared},
    )


CHECKED_TRANSACTIONS = """
    SELECT *, CASE
        WHEN tx_id IS NULL THEN 'tx_id|missing tx_id'
        WHEN time_text IS NULL THEN 'timestamp|missing time'
        WHEN timestamp IS NULL THEN 'timestamp|unparsable time'
        WHEN from_bank IS NULL THEN 'from_bank|missing bank'
        WHEN to_bank IS NULL THEN 'to_bank|missing bank'
        WHEN from_account IS NULL THEN 'from_account|missing account'
        WHEN to_account IS NULL THEN 'to_account|missing account'
        WHEN (SELECT bank FROM own_bank) NOT IN (from_bank, to_bank)
            THEN 'from_bank|neither side at this bank'
        WHEN amount_text IS NULL THEN 'amount|missing amount'
        WHEN NOT is_number(amount_text) THEN 'amount|unparsable amount'
        WHEN starts_with(amount_text, '-') AND coalesce(units, 1) <> 0
            THEN 'amount|negative amount'
        WHEN units IS NULL THEN 'amount|amount too large'
        WHEN currency IS NULL THEN 'currency|unknown currency'
        WHEN minor IS NULL OR minor > 9223372036854775807 THEN 'amount|amount too large'
    END AS fault
    FROM (
        SELECT "row", tx_id, timestamp AS time_text, micros(timestamp) AS timestamp,
            canonical_bank(from_bank) AS from_bank, canonical_bank(to_bank) AS to_bank,
            canonical_account(from_account) AS from_account,
            canonical_account(to_account) AS to_account,
            amount AS amount_text, hundred_millionths(amount) AS units,
            r.currency AS currency, own_step, channel,
            CASE WHEN units BETWEEN 0 AND 922337203685477580700000000
                THEN round_division(units * multiplier, divisor) END AS minor
        FROM transactions_text t LEFT JOIN rates r ON upper(t.currency) = r.currency)
"""
"""Query over ``transactions_text``, ``rates`` and ``own_bank`` (bank): each row with its values and
``fault`` (field|reason, or NULL).  Repeated ids are not looked for here: that takes all rows."""


OPENING_BALANCES = """
    SELECT a.account, CAST(least(greatest(CAST(a.balance AS HUGEINT) - coalesce(net, 0),
        -9223372036854775807), 9223372036854775807) AS BIGINT) AS balance
    FROM dated_balances a LEFT JOIN (
        SELECT account, sum(amount) AS net FROM (
            SELECT to_account AS account, amount, timestamp FROM own_payments
            WHERE to_bank = (SELECT bank FROM own_bank)
            UNION ALL
            SELECT from_account, -amount, timestamp FROM own_payments
            WHERE from_bank = (SELECT bank FROM own_bank)) sides
        JOIN dated_balances USING (account)
        WHERE balance_at IS NOT NULL AND timestamp < balance_at
        GROUP BY account) USING (account)
"""
"""Query over ``dated_balances`` (account, balance, balance_at) and ``own_payments``: the balance of
each account before the first payment.  A balance with a time is that at its time, so the payments
before it are taken back (a payment at that very microsecond comes after it); one without a time is
what it was before the first payment already.  Nothing is cut at 0, so that adding the same payments
again gives the balance stated."""
