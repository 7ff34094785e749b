"""The types of an agreement's values: each brings a value to its one spelling, or refuses it."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from bank_node.consortium.canonical import as_duration, as_moment, as_text
from bank_node.identity import CertificateError, canonical_certificate

__all__ = [
    "BIC",
    "HEX64",
    "HOST",
    "NAME",
    "PARAMETER",
    "Duration",
    "Moment",
    "Name",
    "OptionalDuration",
    "ParameterName",
    "Pem",
    "Text",
    "Whole",
]

NAME = r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$"
PARAMETER = r"^[a-z][a-z0-9_]{0,39}$"
HEX64 = r"^[0-9a-f]{64}$"
HOST = r"^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9a-fA-F:]{2,39})$"
BIC = r"^(?:[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?)?$"


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _certificate(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a certificate in PEM")
    try:
        return canonical_certificate(value)
    except CertificateError as error:
        raise ValueError(error.message) from None


def _optional_duration(value: object) -> str:
    return "" if value == "" else as_duration(value)


Whole = Annotated[int, BeforeValidator(_no_bool)]
Text = Annotated[str, BeforeValidator(as_text), Field(max_length=1000)]
Moment = Annotated[str, BeforeValidator(as_moment)]
Duration = Annotated[str, BeforeValidator(as_duration)]
OptionalDuration = Annotated[str, BeforeValidator(_optional_duration)]
Pem = Annotated[str, BeforeValidator(_certificate)]
Name = Annotated[str, Field(pattern=NAME)]
ParameterName = Annotated[str, Field(pattern=PARAMETER)]
