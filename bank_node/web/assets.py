"""Static files, kept in memory under names with a hash of their content.

A name with its hash never changes its content, so browsers may keep it for a year; a new version of
the program has new names.
"""

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["asset", "asset_route"]

_FOLDER = Path(__file__).parent / "static"
_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_A_YEAR = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class _Asset:
    content: bytes
    media_type: str


@lru_cache
def _assets() -> tuple[Mapping[str, str], Mapping[str, _Asset]]:
    """Return file name → name with hash, and name with hash → file."""
    names, files = {}, {}
    for path in sorted(p for p in _FOLDER.rglob("*") if p.is_file()):
        content = path.read_bytes()
        plain = path.relative_to(_FOLDER).as_posix()
        digest = hashlib.sha256(content).hexdigest()[:16]
        hashed = f"{plain.removesuffix(path.suffix)}.{digest}{path.suffix}"
        guessed = mimetypes.guess_type(path.name)[0] or "text/plain"
        names[plain] = hashed
        files[hashed] = _Asset(content, _KINDS.get(path.suffix, guessed))
    return names, files


def asset(name: str) -> str:
    """Return the address of a static file."""
    return f"/static/{_assets()[0][name]}"


async def _serve(request: Request) -> Response:
    found = _assets()[1].get(request.path_params["name"])
    if found is None:
        return Response(status_code=404)
    return Response(found.content, media_type=found.media_type, headers={"cache-control": _A_YEAR})


def asset_route() -> Route:
    """Return the route of all static files."""
    return Route("/static/{name:path}", _serve, methods=["GET"])
