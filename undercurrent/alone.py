"""What a bank finds alone: the same analysis in plain, over the payments that it sees itself."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bank_node.ingest import canonical_bank, read_bank
from bank_node.partition import Partition, build_partition
from pagerank import PooledGraph, plain_pagerank
from simdata.dataset import Dataset, bank_folder

__all__ = ["OwnView", "pagerank_alone"]


@dataclass(frozen=True)
class OwnView:
    """One bank's own result.

    Attributes:
        bank: id of the bank.
        accounts: its accounts, in the order of the scores.
        scores: float64 (n,), PageRank over what the bank sees; counterparties are in the graph,
            with risk 0, and their scores are left out.
        risk: float64 (n,), the bank's own risk scores.
    """

    bank: str
    accounts: list[str]
    scores: NDArray[np.float64]
    risk: NDArray[np.float64]


def pagerank_alone(data: Path, dataset: Dataset, alpha: float = 0.85) -> list[OwnView]:
    """Return PageRank seeded by risk scores, at each bank by itself."""
    names = [canonical_bank(bank) for bank in dataset.banks]
    views = []
    for bank, folder in zip(names, dataset.banks, strict=True):
        read = read_bank(
            bank_folder(data, folder),
            bank,
            base_currency=dataset.base_currency,
            rates=dataset.rates,
        )
        partition = build_partition(read, bank, names)
        views.append(_own_view(partition, alpha))
    return views


def _own_view(partition: Partition, alpha: float) -> OwnView:
    graph = partition.graph
    own, foreign = graph.vertices, len(graph.neighbour_owner)
    ends = [
        np.where(side >= 0, side, own + ~side).astype(np.int64)
        for side in (graph.source, graph.target)
    ]
    pooled = PooledGraph(own + foreign, ends[0], ends[1], graph.weight.astype(np.float64))
    seeds = np.concatenate([partition.risk, np.zeros(foreign)])
    scores = plain_pagerank(pooled, alpha, seeds if seeds.any() else None)
    return OwnView(
        partition.bank, partition.accounts.to_pylist(), scores[:own], np.asarray(partition.risk)
    )
