"""Who visits: session, language, look, and the token that every form must carry.

A signed-in person's form token is their session's own.  Before anybody has signed in, and for a
person whom a proxy has signed in, it is the HMAC of a random visit cookie (and the name) under a
key that this process made when it started: another site can neither read the cookie nor make the
token.
"""

import hashlib
import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Match

from bank_node.desk import Office
from bank_node.people import PersonView, Standing
from bank_node.web.words import LANGUAGES, Words, words_for

__all__ = [
    "THEMES",
    "Visit",
    "bare_visit",
    "cookie_name",
    "end_cookie",
    "find_visit",
    "local_path",
    "page_at",
    "set_cookie",
    "source_of",
    "token_of",
    "visit_of",
]

THEMES = ("auto", "light", "dark")
_SESSION, _VISIT, _LANGUAGE, _THEME = "", "-visit", "-language", "-theme"
_POLLED = "/progress"
_LONGEST = 200
_YEAR = 31_536_000


@dataclass(frozen=True)
class Visit:
    """One request's visitor.

    Attributes:
        standing: who is signed in; None: nobody.
        csrf: what forms of the answer carry, and a form that is sent must have carried.
        words: language and locale. theme: one of :data:`THEMES`.
        visit: random text of the visit cookie. fresh: whether that cookie has yet to be set.
    """

    standing: Standing | None
    csrf: str
    words: Words
    theme: str
    visit: str
    fresh: bool


@lru_cache
def _process_key() -> bytes:
    return secrets.token_bytes(32)


def secure(office: Office) -> bool:
    """Say whether browsers reach the application by HTTPS."""
    web = office.config.web
    return web.behind_proxy or web.certificate is not None


def cookie_name(office: Office, suffix: str = _SESSION) -> str:
    """Return the name of a cookie; the prefix makes browsers keep it to this host and HTTPS.

    It has the node's name: browsers hand a cookie to all ports of a host, on which several nodes
    may be tried.
    """
    return f"{'__Host-' if secure(office) else ''}undercurrent-{office.config.node.id}{suffix}"


def set_cookie(
    response: Response, office: Office, value: str, suffix: str = _SESSION, *, keep: bool = False
) -> None:
    """Set a cookie that no script reads and no other site sends; for the session unless kept."""
    response.set_cookie(
        cookie_name(office, suffix), value, path="/", httponly=True, samesite="strict",
        secure=secure(office), max_age=_YEAR if keep else None,
    )  # fmt: skip


def end_cookie(response: Response, office: Office) -> None:
    """Remove the cookie of the session."""
    response.delete_cookie(
        cookie_name(office), path="/", httponly=True, samesite="strict", secure=secure(office)
    )


def token_of(request: HTTPConnection, office: Office) -> str | None:
    """Return the session's token that came with a request."""
    return request.cookies.get(cookie_name(office)) or None


def find_visit(request: HTTPConnection, office: Office) -> Visit:
    """Find out who visits; looks into the database."""
    kept = request.cookies.get(cookie_name(office, _VISIT), "")
    fresh = not (kept.isalnum() and kept.isascii() and len(kept) == 32)
    visit = secrets.token_hex(16) if fresh else kept
    token = token_of(request, office)
    standing = None
    if token and len(token) <= _LONGEST:
        asks_by_itself = request.url.path.endswith(_POLLED)
        standing = office.desk.standing(token, is_used=not asks_by_itself)
    if standing is not None and standing.kind != "browser":
        standing = None
    if standing is None:
        standing = _by_proxy(request, office, visit)
    theme = request.cookies.get(cookie_name(office, _THEME), "")
    return Visit(
        standing=standing,
        csrf=_signed(visit, "") if standing is None else standing.csrf,
        words=_words(request, office),
        theme=theme if theme in THEMES else "auto",
        visit=visit,
        fresh=fresh,
    )


def bare_visit(request: HTTPConnection, office: Office) -> Visit:
    """Return a visitor of whom nothing is known but the language; needs no database."""
    return Visit(None, "", _words(request, office), "auto", "", fresh=False)


def visit_of(request: Request) -> Visit:
    """Return the visitor of a request that has come through the application."""
    found: Visit = request.scope["undercurrent.visit"]
    return found


def local_path(text: str | None, otherwise: str = "/") -> str:
    """Return a path of this application, or ``otherwise`` for what leads elsewhere.

    >>> local_path("/alerts?rule=x"), local_path("//evil.example/"), local_path("https://evil.example")
    ('/alerts?rule=x', '/', '/')
    """
    wanted = text or ""
    plain = wanted.isprintable() and "\\" not in wanted and len(wanted) <= 2000
    if not plain or not wanted.startswith("/") or wanted.startswith("//"):
        return otherwise
    return wanted


def came_from(request: HTTPConnection, otherwise: str = "/") -> str:
    """Return the page of this application from which a request came.

    An address that only takes forms shows a page too, such as a refusal; nobody can go there again,
    so the page above it is returned for it.
    """
    try:
        parts = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return otherwise
    if parts.netloc != request.headers.get("host"):
        return otherwise
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return page_at(request, local_path(path, otherwise))


def page_at(request: HTTPConnection, path: str) -> str:
    """Return a path of this application, or of the page above it if it only takes forms."""
    while _only_takes_forms(request, path.partition("?")[0]):
        path = path.partition("?")[0].rpartition("/")[0] or "/"
    return path


def _only_takes_forms(request: HTTPConnection, path: str) -> bool:
    scope = {"type": "http", "method": "GET", "path": path, "root_path": ""}
    found = {route.matches(scope)[0] for route in request.app.routes}
    return Match.PARTIAL in found and Match.FULL not in found


def source_of(request: HTTPConnection, office: Office) -> str:
    """Return from where somebody wants to sign in, for the audit log."""
    web, peer = office.config.web, request.client.host if request.client else ""
    if not web.behind_proxy or peer not in web.trusted_proxies:
        return peer
    # The last address is the one that the trusted proxy itself saw.
    told = ",".join(request.headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(told))
    except ValueError:
        return peer


def _words(request: HTTPConnection, office: Office) -> Words:
    web, desk = office.config.web, office.desk
    chosen = request.cookies.get(cookie_name(office, _LANGUAGE), "")
    first = web.language if web.language in LANGUAGES else "en"
    language = chosen if chosen in LANGUAGES else first
    return words_for(language, (first, web.locale), desk.currency, desk.decimals)


def _by_proxy(request: HTTPConnection, office: Office, visit: str) -> Standing | None:
    """Believe the name that a trusted proxy gives."""
    web = office.config.web
    peer = request.client.host if request.client else ""
    if not web.proxy_header or peer not in web.trusted_proxies:
        return None
    names = request.headers.getlist(web.proxy_header)
    if len(names) != 1 or not names[0] or len(names[0]) > _LONGEST:
        return None
    person = office.desk.from_proxy(names[0])
    return None if person is None else _stands(person, visit, office.clock())


def _stands(person: PersonView, visit: str, now: int) -> Standing:
    return Standing(
        person=person, kind="proxy", csrf=_signed(visit, person.name), created=now, expires=now,
        label="",
    )  # fmt: skip


def _signed(visit: str, name: str) -> str:
    return hmac.new(_process_key(), f"{visit} {name}".encode(), hashlib.sha256).hexdigest()
