"""PageRank on the secure engine, beside its plaintext reference."""

from pagerank.analysis import PAGERANK, PageRank
from pagerank.parameters import PageRankParameters
from pagerank.reference import PooledGraph, networkx_pagerank, plain_pagerank
from pagerank.secure import secure_pagerank

__all__ = [
    "PAGERANK",
    "PageRank",
    "PageRankParameters",
    "PooledGraph",
    "networkx_pagerank",
    "plain_pagerank",
    "secure_pagerank",
]
