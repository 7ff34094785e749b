"""Nodes of a consortium as their operators set them up, with an agreement that all have signed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import tomli_w

from bank_node.consortium import Book
from bank_node.consortium.agreement import parse_agreement
from bank_node.identity import (
    Authority,
    SigningKey,
    certificate_request,
    fingerprint,
    install_certificate,
)
from bank_node.operation.node_folder import create_node
from bank_node.operation.template import Answers

CONSORTIUM = "north"
BANKS = ("bank-a", "bank-b", "bank-c")
DAY = 86_400_000_000


def now_us() -> int:
    """The time, microseconds."""
    return time.time_ns() // 1000


@dataclass(frozen=True)
class Node:
    """A node's folder with its keys and certificate."""

    folder: Path
    id: str
    key: SigningKey
    certificate: str
    port: int

    @property
    def entry(self) -> dict[str, Any]:
        """What stands in the agreement about it."""
        return {
            "id": self.id,
            "role": "bank",
            "key": self.key.public,
            "certificate": fingerprint(self.certificate),
            "certificate_pem": self.certificate,
            "host": "127.0.0.1",
            "ports": [self.port, 4],
        }


def set_up(folder: Path, authority: Authority, answers: Answers, days: int = 400) -> Node:
    """Make a node, and give it its certificate."""
    create_node(folder, answers)
    keys = folder / "keys"
    request = certificate_request(keys / "tls-1.pem", CONSORTIUM, answers.id)
    certificate = authority.issue_member(request, answers.id, days)
    install_certificate(keys, certificate, authority.certificate_pem)
    key = SigningKey.load(keys / "signing-1.pem")
    return Node(folder, answers.id, key, certificate, answers.port)


def agree(
    nodes: Sequence[Node], authority: Authority, *, install: bool = True, days: int = 300
) -> dict[str, Any]:
    """Let all nodes sign an agreement and install it; returns it as plain data."""
    today = datetime.now(UTC)
    raw: dict[str, Any] = {
        "consortium": CONSORTIUM,
        "version": 1,
        "effective": f"{today - timedelta(days=1):%Y-%m-%d}",
        "expires": f"{today + timedelta(days=days):%Y-%m-%d}",
        "engine": "1",
        "authority": authority.certificate_pem,
        "scope": "Accounts of customers of higher risk.",
        "analyses": [{"name": "pagerank", "version": "1", "policies": ["bands:0.2,0.5,0.8"]}],
        "budgets": {"period": "month", "bits": 1_000_000},
        "members": [node.entry for node in nodes],
    }
    signed_bytes = parse_agreement(raw).signed_bytes
    raw["signatures"] = [
        {"member": node.id, "signature": node.key.sign(signed_bytes).hex()} for node in nodes
    ]
    if install:
        for node in nodes:
            file = node.folder.parent / f"{node.id}-consortium.toml"
            file.write_text(tomli_w.dumps(raw))
            Book(node.folder / "agreements").install(file)
    return raw


def consortium(folder: Path, **answers: Any) -> list[Node]:
    """Make three nodes whose agreement is in effect; ``answers`` are the first one's."""
    authority = Authority.create(folder / "authority", CONSORTIUM)
    nodes = []
    for number, name in enumerate(BANKS):
        given = {"port": 9400 + 10 * number} | (answers if number == 0 else {})
        told = Answers(id=name, consortium=CONSORTIUM, http_port=0, web_port=0, **given)
        nodes.append(set_up(folder / name, authority, told))
    agree(nodes, authority)
    return nodes
