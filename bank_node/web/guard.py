"""What protects every answer and every form, whatever page it belongs to.

- Headers: the Content-Security-Policy allows nothing but files of this application, no inline
  script, no inline style, no frame around it.
- A request that changes something must come from a page of this application (``Sec-Fetch-Site``,
  ``Origin``), and carry the token of the visitor's session, in the form or in a header.
"""

import hmac
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bank_node.desk import Office
from bank_node.web.visit import Visit, cookie_name, find_visit, secure

__all__ = ["CSRF_HEADER", "POLICY", "Guard", "from_here", "token_fits"]

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
"""The Content-Security-Policy of every page."""

_HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}
Failed = Callable[[Request, Exception], Response]
_VISIT = "undercurrent.visit"
_STRICT_TRANSPORT = "max-age=31536000"
CSRF_HEADER = "x-csrf-token"


class Guard:
    """Finds out who visits, puts the headers on every answer, and answers where a page fails."""

    def __init__(self, app: ASGIApp, office: Office, failed: Failed) -> None:
        self._app = app
        self._office = office
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self._protect(MutableHeaders(scope=message), scope.get(_VISIT))
            await send(message)

        try:
            if not scope["path"].startswith("/static/"):
                found = await run_in_threadpool(find_visit, HTTPConnection(scope), self._office)
                scope[_VISIT] = found
            await self._app(scope, receive, guarded)
        except Exception as error:
            if begun:
                raise
            answer = self._failed(Request(scope, receive), error)
            await answer(scope, receive, guarded)

    def _protect(self, headers: MutableHeaders, visit: Visit | None) -> None:
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        if secure(self._office):
            headers["strict-transport-security"] = _STRICT_TRANSPORT
        if visit is not None and visit.fresh:
            name, flag = cookie_name(self._office, "-visit"), secure(self._office)
            cookie = f"{name}={visit.visit}; Path=/; HttpOnly; SameSite=Strict"
            headers.append("set-cookie", cookie + ("; Secure" if flag else ""))


def from_here(request: Request, office: Office) -> bool:
    """Say whether a request comes from a page of this application, as far as a browser says."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return True
    if office.config.web.origin:
        return origin == office.config.web.origin.rstrip("/")
    try:
        return urlsplit(origin).netloc == request.headers.get("host")
    except ValueError:
        return False


def token_fits(request: Request, form: FormData, expected: str) -> bool:
    """Say whether a request carries the token of the visitor's session."""
    sent = request.headers.get(CSRF_HEADER) or form.get("csrf")
    return isinstance(sent, str) and hmac.compare_digest(sent.encode(), expected.encode())
