"""Finding an analysis by its entry point, so that another package can add one."""

from importlib.metadata import entry_points

from bank_node.errors import ParameterError
from graph_mpc.program import Analysis

__all__ = ["find_analysis", "known_analyses"]

_GROUP = "undercurrent.analyses"


def known_analyses() -> list[str]:
    """Return the names of all installed analyses."""
    return sorted(point.name for point in entry_points(group=_GROUP))


def find_analysis(name: str) -> Analysis:
    """Return the analysis of that name."""
    points = [point for point in entry_points(group=_GROUP) if point.name == name]
    if not points:
        raise ParameterError(
            f"there is no analysis {name!r}", f"Choose one of: {', '.join(known_analyses())}"
        )
    analysis: Analysis = points[0].load()
    return analysis
