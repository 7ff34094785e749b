"""The public face of each package."""

import importlib

import pytest

FACES = {
    "bank_node": {"UndercurrentError"},
    "graph_mpc": {
        "OUTSIDE",
        "Analysis",
        "Context",
        "EngineError",
        "JointScalars",
        "LabelReused",
        "LocalGraph",
        "MaskRuleViolation",
        "MpycScalars",
        "Network",
        "Outcome",
        "Overflow",
        "OwnerInput",
        "ParameterError",
        "Roster",
        "SeededStreams",
        "ShapeMismatch",
        "TooFewParties",
        "Transport",
    },
    "pagerank": {
        "PAGERANK",
        "PageRank",
        "PageRankParameters",
        "PooledGraph",
        "networkx_pagerank",
        "plain_pagerank",
        "secure_pagerank",
    },
}


@pytest.mark.parametrize("package", FACES)
def test_the_face_of_a_package_is_pinned(package: str) -> None:
    """What a package offers changes on purpose only, and is all there."""
    module = importlib.import_module(package)
    assert set(module.__all__) == FACES[package]
    assert all(hasattr(module, name) for name in module.__all__)
