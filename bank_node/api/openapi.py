"""The description of the API: ``python -m bank_node.api.openapi`` writes ``openapi.json``."""

import json
from pathlib import Path

from bank_node.api.app import bare_app

__all__ = ["PATH", "described", "main"]

PATH = Path(__file__).with_name("openapi.json")
"""Where the description is kept."""


def described() -> str:
    """Return the description as the file holds it."""
    return json.dumps(bare_app().openapi(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    """Write the description, whole or not at all."""
    fresh = PATH.with_suffix(".json.new")
    fresh.write_text(described(), "utf-8")
    fresh.replace(PATH)


if __name__ == "__main__":
    main()
