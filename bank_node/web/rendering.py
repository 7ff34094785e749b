"""The templates: everything that is filled in is escaped; a name that is missing is an error."""

from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode

import jinja2

from bank_node.web.assets import asset
from bank_node.web.words import LANGUAGES, iso

__all__ = ["environment"]


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


def _query(**fields: object) -> str:
    """Return fields as the query of an address; what is empty is left out."""
    kept = {name: str(value) for name, value in fields.items() if value not in (None, "")}
    return urlencode(kept)
