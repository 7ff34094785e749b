"""What stands before every endpoint: bounded bodies, JSON only, careful headers, no stray words.

A body is read as a whole before anything looks at it: at most a mebibyte, within half a minute.
What nobody foresaw becomes an answer without any detail; its words may quote an account, so they
reach no one but the node's log, which lets no account through.
"""

import asyncio
from collections.abc import MutableMapping
from email.message import Message as Header
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bank_node.api.errors import ApiError, FaultError, LargeBodyError, NotJsonError, SlowBodyError
from bank_node.api.refusals import answer_of

__all__ = ["MOST_BODY", "Guard"]

_LOG = structlog.get_logger(__name__)
MOST_BODY = 1 << 20
"""Bytes of the largest body."""
_SECONDS = 30.0
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Wraps the application.

    Args:
        app: the application.
        most: bytes of the largest body. seconds: within which it has to come.
    """

    def __init__(self, app: ASGIApp, most: int = MOST_BODY, seconds: float = _SECONDS) -> None:
        self._app = app
        self._most = most
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        outgoing = _Outgoing(send)
        try:
            body = await self._body(scope, receive)
            await self._app(scope, _Replayed(body, receive), outgoing)
        except ApiError as error:
            await answer_of(error)(scope, receive, outgoing)
        except Exception as error:
            _LOG.exception("api_failed", error=type(error).__name__)
            if outgoing.has_begun:
                raise
            await answer_of(FaultError())(scope, receive, outgoing)
        return None

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        headers = Headers(scope=scope)
        told = headers.get("content-length", "0")
        if not told.isascii() or not told.isdigit() or int(told[:20]) > self._most:
            raise LargeBodyError
        try:
            async with asyncio.timeout(self._seconds):
                body = await self._read(receive)
        except TimeoutError:
            raise SlowBodyError from None
        if body and not _is_json(headers.get("content-type", "")):
            raise NotJsonError
        return body

    async def _read(self, receive: Receive) -> bytes:
        parts = bytearray()
        while True:
            message = await receive()
            parts += message.get("body", b"")
            if len(parts) > self._most:
                raise LargeBodyError
            if message["type"] != "http.request" or not message.get("more_body", False):
                return bytes(parts)


class _Replayed:
    """Gives a body that was read, and afterwards what comes then."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Outgoing:
    """Sends with the headers that every answer has."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
        await self._send(message)


def _is_json(content_type: str) -> bool:
    header = Header()
    header["content-type"] = content_type or "nothing/nothing"
    return header.get_content_type() == "application/json"
