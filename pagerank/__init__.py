"""PageRank and risk propagation on the secure engine, each beside its plaintext reference."""

from pagerank.analysis import PAGERANK, RISK_PROPAGATION, PageRank, RiskPropagation
from pagerank.parameters import PageRankParameters
from pagerank.reference import PooledGraph, networkx_pagerank, plain_pagerank
from pagerank.risk_parameters import RiskParameters
from pagerank.risk_propagation import secure_risk_propagation
from pagerank.risk_reference import SlicedGraph, plain_risk_propagation
from pagerank.secure import secure_pagerank

__all__ = [
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
]
