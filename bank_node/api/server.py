"""Serving the bank's own people: the API under ``/api``, the pages everywhere else.

Runs inside the daemon's event loop.  Without TLS only a loopback address is served, or one behind a
proxy of the bank's own, which then speaks TLS: passwords and accounts go over this connection.
"""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from bank_node.api.app import api_app
from bank_node.desk import Office
from bank_node.node.config import NodeConfig
from bank_node.node.errors import ConfigurationError
from bank_node.operation.serving import Address, address_of, bound, running

__all__ = ["Split", "people_app", "serve_people"]

_WHAT = "the desk"
_GRACE = 3
_AT_ONCE = 256
_MOST_HEADERS = 32_768


class Split:
    """Hands on what is under a prefix to one application, and everything else to another.

    Unlike a router's mounts it looks at the prefix only, so that whatever stands behind it, line
    breaks included, is answered by the application whose it is.
    """

    def __init__(self, prefix: str, app: ASGIApp, otherwise: ASGIApp) -> None:
        self._prefix = prefix
        self._app = app
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on one request."""
        path: str = scope.get("path", "")
        if path != self._prefix and not path.startswith(f"{self._prefix}/"):
            return await self._otherwise(scope, receive, send)
        root = scope.get("root_path", "") + self._prefix
        return await self._app({**scope, "root_path": root}, receive, send)


def people_app(office: Office) -> ASGIApp:
    """Return one application of API and pages."""
    # The pages are large; what only needs the API does not wait for them.
    from bank_node.web import web_app

    api = api_app(office)
    return Split("/api", api, web_app(office, api.state.gate))


@asynccontextmanager
async def serve_people(office: Office) -> AsyncIterator[tuple[str, int]]:
    """Serve people while the context is open; gives the address.

    Raises:
        ConfigurationError: the address would be open without TLS, or the certificate is no use.
        ListenError: the port cannot be had.
    """
    config = _config(office)
    listener = _listen(office.config)
    async with running(config, listener, _WHAT):
        address = listener.getsockname()
        yield str(address[0]), int(address[1])


def _config(office: Office) -> uvicorn.Config:
    web, node = office.config.web, office.config
    if (web.certificate is None) != (web.private_key is None):
        raise ConfigurationError(
            "[web] has one of certificate and private_key only", "Name both of them, or none"
        )
    files = {}
    if web.certificate is not None and web.private_key is not None:
        files = {
            "ssl_certfile": str(node.beside(web.certificate)),
            "ssl_keyfile": str(node.beside(web.private_key)),
        }
    config = uvicorn.Config(
        people_app(office),
        log_config=None,
        access_log=False,  # addresses of pages and endpoints name accounts
        server_header=False,
        proxy_headers=False,  # who is trusted stands in [web], not in what a visitor sends
        lifespan="off",
        ws="none",
        limit_concurrency=_AT_ONCE,
        h11_max_incomplete_event_size=_MOST_HEADERS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=_GRACE,
        **files,  # type: ignore[arg-type]
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"the certificate or key under [web] cannot be used ({type(error).__name__})",
            "Name PEM files that belong together and that the node may read",
        ) from error
    return config


def _listen(config: NodeConfig) -> socket.socket:
    web = config.web
    address = _address(web.host)
    has_tls = web.certificate is not None
    if not (address.is_loopback or has_tls or web.behind_proxy):
        raise ConfigurationError(
            f"[web] host {web.host} would be served to the network without TLS",
            "Set certificate and private_key, or put a proxy with TLS in front and set"
            " behind_proxy = true, or use 127.0.0.1",
        )
    return bound(address, web.port, _WHAT, "web")


def _address(host: str) -> Address:
    try:
        return address_of(host)
    except ValueError:
        raise ConfigurationError(
            f"[web] host {host} is no address", "Use 127.0.0.1, or an address of this machine"
        ) from None
