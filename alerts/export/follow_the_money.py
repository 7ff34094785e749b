"""A case as FollowTheMoney entities, one JSON object a line, for other investigation tools.

Entities are ``{"id", "schema", "properties": {name: [text, …]}}``.  Accounts are ``BankAccount``,
payments ``Payment`` (``payerAccount``, ``beneficiaryAccount`` point at accounts by id), as the
schemata at followthemoney.tech define them.  Ids are hashes of what they stand for, so that exports
of several cases merge in the other tool.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from alerts.export.case_file import CaseFile
from alerts.words import amount_text, iso_time

__all__ = ["follow_the_money"]

IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
BIC = re.compile(r"[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?")


def follow_the_money(file: CaseFile) -> str:
    """Return the accounts and payments of a case as JSON lines."""
    lines = [*_accounts(file), *_payments(file)]
    return "".join(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in lines)


def _identity(kind: str, *parts: str) -> str:
    return hashlib.sha256("\x1f".join((kind, *parts)).encode()).hexdigest()[:40]


def _account_id(bank: str, account: str) -> str:
    return _identity("account", bank, account)


def _accounts(file: CaseFile) -> Iterator[dict[str, Any]]:
    """Yield each account once: those of the case, and both sides of its payments."""
    pairs = {(file.bank, account) for account in file.accounts}
    for side in ("from", "to"):
        banks = file.transactions[f"{side}_bank"].to_pylist()
        pairs.update(zip(banks, file.transactions[f"{side}_account"].to_pylist(), strict=True))
    for bank, account in sorted(pairs):
        yield _entity(
            _account_id(bank, account),
            "BankAccount",
            accountNumber=account,
            name=account,
            iban=account if IBAN.fullmatch(account) else None,
            bankName=bank,
            bic=bank if BIC.fullmatch(bank) else None,
        )


def _payments(file: CaseFile) -> Iterator[dict[str, Any]]:
    for row in file.transactions.to_pylist():
        payer = _account_id(row["from_bank"], row["from_account"])
        beneficiary = _account_id(row["to_bank"], row["to_account"])
        yield _entity(
            _identity("payment", payer, beneficiary, row["tx_id"]),
            "Payment",
            payerAccount=payer,
            beneficiaryAccount=beneficiary,
            amount=amount_text(row["amount"], file.decimals),
            currency=file.currency,
            date=iso_time(row["timestamp"]).removesuffix("Z"),
            transactionNumber=row["tx_id"],
            programme=row["channel"],
        )


def _entity(identity: str, schema: str, **properties: str | None) -> dict[str, Any]:
    known = {name: [value] for name, value in properties.items() if value}
    return {"id": identity, "schema": schema, "properties": known}
