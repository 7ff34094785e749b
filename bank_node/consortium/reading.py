"""Reading an agreement from its file."""

import tomllib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bank_node.consortium.agreement import SignedAgreement, parse_agreement
from bank_node.consortium.errors import AgreementFileError

__all__ = ["load_agreement", "parse_text", "read_text", "read_toml", "where_wrong"]

_MOST_BYTES = 4 << 20


def load_agreement(path: Path) -> SignedAgreement:
    """Read an agreement, with the signatures that it has; nothing is verified but its form.

    Raises:
        AgreementFileError: it is missing, no TOML, or a value is not of the right form.
    """
    return parse_text(read_text(path), str(path))


def parse_text(text: str, name: str) -> SignedAgreement:
    """Return the agreement that a text is; ``name`` is for the error."""
    raw = read_toml(text, name)
    try:
        return parse_agreement(raw)
    except ValidationError as error:
        where, why = where_wrong(error)
        raise AgreementFileError(
            f"{name}: {where}: {why}", "Correct that value; see undercurrent consortium new"
        ) from None


def read_text(path: Path) -> str:
    """Return the text of a file."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise AgreementFileError(f"{path} is larger than any agreement", "Check the name")
        return path.read_text("utf-8")
    except OSError as error:
        raise AgreementFileError(f"{path}: {error.strerror}", "Check the name") from error
    except UnicodeDecodeError as error:
        raise AgreementFileError(f"{path} is not UTF-8", "Save it as UTF-8") from error


def read_toml(text: str, name: str) -> dict[str, Any]:
    """Return what a TOML text holds; numbers with a point become decimals, exactly as written."""
    try:
        return tomllib.loads(text, parse_float=_decimal)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        raise AgreementFileError(f"{name}: {error}", "Correct the TOML file") from None


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("a number is too large") from None


def where_wrong(error: ValidationError) -> tuple[str, str]:
    """Return where a value is not of the right form, and why."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ""
    for part in first["loc"]:
        where += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if where else str(part)
    return where or "the whole", first["msg"].removeprefix("Value error, ")
