"""The templates: everything that is filled in is escaped; a name that is missing is an error."""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2

from bank_node.web.assets import asset
from bank_node.web.words import LANGUAGES, iso

__all__ = ["environment", "rendered", "visible"]

# Controls but tab and line breaks, line separators, and what turns the direction of writing.
_UNSEEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MARKUP = re.compile(r"(<textarea\b.*?</textarea>|<[^>]*>)", re.DOTALL)


@lru_cache
def environment() -> jinja2.Environment:
    """Return the templates' environment."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals.update(asset=asset, languages=LANGUAGES, query=_query)
    made.filters.update(iso=iso)
    return made


def rendered(template: str, context: Mapping[str, Any]) -> str:
    """Return a page or a part of one."""
    return visible(environment().get_template(template).render(context))


def visible(html: str) -> str:
    """Write out the characters of a page's text that nobody sees or that turn what follows.

    Attributes and text fields keep them, so that a form sends back what it was given.
    """
    if _UNSEEN.search(html) is None:
        return html
    pieces = _MARKUP.split(html)  # text and markup take turns
    pieces[::2] = [_UNSEEN.sub(_written_out, text) for text in pieces[::2]]
    return "".join(pieces)


def _written_out(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _query(**fields: object) -> str:
    """Return fields as the query of an address; what is empty is left out."""
    kept = {name: str(value) for name, value in fields.items() if value not in (None, "")}
    return urlencode(kept)
