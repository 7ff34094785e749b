"""The public face of each package."""

import importlib

import pytest

FACES = {
    "bank_node": {"UndercurrentError"},
    "flow_tracing": {
        "ROUND_TRIP",
        "TRACE",
        "PooledFlows",
        "RoundTrip",
        "RoundTripParameters",
        "Trace",
        "TraceParameters",
        "plain_round_trip",
        "plain_trace",
        "secure_round_trip",
        "secure_trace",
    },
    "graph_mpc": {
        "EXACT",
        "OUTSIDE",
        "WHOLE",
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
        "Policy",
        "Released",
        "Roster",
        "SeededStreams",
        "ShapeMismatch",
        "TooFewParties",
        "Transport",
        "Window",
        "parse_policy",
    },
    "pagerank": {
        "PAGERANK",
        "RISK_PROPAGATION",
        "PageRank",
        "PageRankParameters",
        "PooledGraph",
        "RiskParameters",
        "RiskPropagation",
        "SlicedGraph",
        "networkx_pagerank",
        "plain_pagerank",
        "plain_risk_propagation",
        "secure_pagerank",
        "secure_risk_propagation",
    },
}


@pytest.mark.parametrize("package", FACES)
def test_the_face_of_a_package_is_pinned(package: str) -> None:
    """What a package offers changes on purpose only, and is all there."""
    module = importlib.import_module(package)
    assert set(module.__all__) == FACES[package]
    assert all(hasattr(module, name) for name in module.__all__)
