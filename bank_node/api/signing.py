"""Who asks: by a token, or by the header of a proxy that the bank trusts.

A token stands in ``Authorization: Bearer``, never in a cookie, so no other site's page can make a
browser send it.  A proxy's header is believed only if ``proxy_header`` under ``[web]`` names it,
and only from the addresses of ``trusted_proxies``; the proxy must remove what visitors send under
that name.  Since a browser would bring its sign-in at the proxy along, what another site's page
makes it send is refused there.
"""

import asyncio
import ipaddress
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from alerts import Person
from bank_node.api.errors import CrossSiteError, NotSignedInError
from bank_node.desk import Desk, Office
from bank_node.people import PersonView, Standing

__all__ = ["Present", "Signed", "TheDesk", "TheOffice", "TheVisitor", "Who", "peer_of"]

_BEARER = HTTPBearer(
    auto_error=False, scheme_name="token", description="A token from POST /v1/sign-in."
)
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_SAME_SITE = frozenset({"same-origin", "none"})
_LONGEST_NAME = 64


@dataclass(frozen=True)
class Present:
    """Who asks.

    Attributes:
        view: the person. token: theirs; None: a proxy signed them in.
        standing: of the token; None: a proxy signed them in.
    """

    view: PersonView
    token: str | None
    standing: Standing | None

    @property
    def person(self) -> Person:
        """The person with their role of this moment."""
        return self.view.person


async def _office(request: Request) -> Office:
    office: Office = request.app.state.office
    return office


async def _present(
    request: Request,
    office: Annotated[Office, Depends(_office)],
    sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
) -> Present:
    if "authorization" in request.headers:
        if sent is not None:
            standing = await asyncio.to_thread(office.desk.standing, sent.credentials)
            if standing is not None:
                return Present(standing.person, sent.credentials, standing)
    else:
        found = await _by_proxy(request, office)
        if found is not None:
            return Present(found, None, None)
    raise NotSignedInError


async def _by_proxy(request: Request, office: Office) -> PersonView | None:
    """Return whom a trusted proxy names."""
    web = office.config.web
    if not web.proxy_header or peer_of(request) not in web.trusted_proxies:
        return None
    names = request.headers.getlist(web.proxy_header)
    if len(names) != 1 or not 0 < len(names[0]) <= _LONGEST_NAME:
        return None
    if request.method not in _READING and _from_elsewhere(request, web.origin):
        raise CrossSiteError
    return await asyncio.to_thread(office.desk.from_proxy, names[0])


def _from_elsewhere(request: Request, origin: str) -> bool:
    site = request.headers.get("sec-fetch-site", "none")
    told = request.headers.get("origin")
    return site not in _SAME_SITE or (told is not None and told != origin)


def peer_of(request: Request) -> str:
    """Return the address at the other end of the connection; empty for the local socket."""
    return "" if request.client is None else request.client.host


async def _visitor(request: Request, office: Annotated[Office, Depends(_office)]) -> str:
    """Return from where somebody wants to sign in, for the audit log."""
    peer = peer_of(request)
    if peer not in office.config.web.trusted_proxies or not office.config.web.behind_proxy:
        return peer or "local socket"
    # The last address is the one that the trusted proxy itself saw.
    told = ",".join(request.headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(told))
    except ValueError:
        return peer


async def _person(present: Annotated[Present, Depends(_present)]) -> Person:
    return present.person


async def _desk(office: Annotated[Office, Depends(_office)]) -> Desk:
    return office.desk


TheOffice = Annotated[Office, Depends(_office)]
TheDesk = Annotated[Desk, Depends(_desk)]
Signed = Annotated[Present, Depends(_present)]
Who = Annotated[Person, Depends(_person)]
TheVisitor = Annotated[str, Depends(_visitor)]
