"""What the API itself says no to, before or beside the desk.

::

    UndercurrentError
    └── ApiError                    base
        ├── NotSignedInError        no token, or one that has ended (401)
        ├── CrossSiteError          another site's page made a browser send this (403)
        ├── UnknownAddressError     there is no such address (404)
        ├── WrongMethodError        the address knows no such method (405)
        ├── SlowBodyError           the body did not come in time (408)
        ├── LargeBodyError          the body is larger than a mebibyte (413)
        ├── NotJsonError            the body is no JSON by its type (415)
        ├── InvalidRequestError     not as the OpenAPI file describes it (422)
        ├── BusyError               too many sign in at the same moment (429)
        └── FaultError              what nobody foresaw (500)
"""

from collections.abc import Mapping
from typing import ClassVar

from bank_node.errors import UndercurrentError

__all__ = [
    "ApiError",
    "BusyError",
    "CrossSiteError",
    "FaultError",
    "InvalidRequestError",
    "LargeBodyError",
    "NotJsonError",
    "NotSignedInError",
    "SlowBodyError",
    "UnknownAddressError",
    "WrongMethodError",
]


class ApiError(UndercurrentError):
    """A request that the API does not hand on.

    Attributes:
        status: of HTTP. words: message and remedy, the same for everybody.
        headers: of the answer.
    """

    code = "api.error"
    status: ClassVar[int] = 500
    words: ClassVar[tuple[str, str]] = ("the request failed", "tell the operator")
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.words[0], self.words[1])

    def __reduce__(self) -> tuple[type["ApiError"], tuple[str]]:  # type: ignore[override]
        return type(self), (self.message,)


class NotSignedInError(ApiError):
    """There is no token, or it has ended."""

    code = "api.not-signed-in"
    status = 401
    words = (
        "nobody is signed in",
        "sign in, and send the header Authorization: Bearer and the token",
    )


class CrossSiteError(ApiError):
    """Another site's page made a browser send this."""

    code = "api.cross-site"
    status = 403
    words = ("another site's page sent this", "use the bank's own application")


class UnknownAddressError(ApiError):
    """There is no such address."""

    code = "api.unknown-address"
    status = 404
    words = ("there is no such address", "look it up in the OpenAPI file")


class WrongMethodError(ApiError):
    """The address knows no such method."""

    code = "api.method"
    status = 405
    words = ("the address knows no such method", "look it up in the OpenAPI file")


class SlowBodyError(ApiError):
    """The body did not come in time."""

    code = "api.too-slow"
    status = 408
    words = ("the body came too slowly", "send it again")
    headers: ClassVar[Mapping[str, str]] = {"Connection": "close"}


class LargeBodyError(ApiError):
    """The body is too large."""

    code = "api.too-large"
    status = 413
    words = ("the body is larger than 1 MiB", "send less at a time")


class NotJsonError(ApiError):
    """The body is no JSON by its type."""

    code = "api.not-json"
    status = 415
    words = ("the body is not JSON", "send it with Content-Type: application/json")


class InvalidRequestError(ApiError):
    """The request is not as the OpenAPI file describes it."""

    code = "api.invalid"
    status = 422
    words = ("the request cannot be read", "look it up in the OpenAPI file")


class BusyError(ApiError):
    """Too many sign in at the same moment."""

    code = "api.busy"
    status = 429
    words = ("too many want to sign in at the same moment", "try again in a few seconds")
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "5"}


class FaultError(ApiError):
    """What nobody foresaw."""

    code = "api.fault"
    status = 500
    words = ("a fault of the node", "tell the operator: the node's log says more")
