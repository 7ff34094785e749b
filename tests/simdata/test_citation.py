"""How to cite the software is said for machines, of this version."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_citation_is_of_this_version() -> None:
    """CITATION.cff has the fields that its format demands, and the version of the package."""
    lines = (ROOT / "CITATION.cff").read_text("utf-8").splitlines()
    fields = dict(re.findall(r"^([a-z-]+): *(.*)$", "\n".join(lines), re.MULTILINE))
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= set(fields)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (fields["version"], fields["license"]) == (project["version"], project["license"])
