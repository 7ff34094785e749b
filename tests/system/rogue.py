"""A party that does not keep to the protocol: ``python -m tests.system.rogue HOW …``.

Takes a worker's place, job on standard input included, as ``run_lab``'s ``wrap`` starts it.  It has
the party's valid credentials and is the real worker but for the one thing that it does wrong.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_SET_UP = 100


def main() -> int:
    """Misbehave as the first argument says."""
    how = sys.argv[1]
    if how == "garbage":
        return _garbage()
    if how == "chatter":
        print("this is no event", flush=True)
        return 0
    ways = {
        "pickle": _send_pickles,
        "mpyc-pickle": _send_mpyc_pickles,
        "length": _send_more,
        "certificate": _take_certificate,
    }
    ways[how]()
    from bank_node.worker import main as work

    return work()


def _garbage() -> int:
    """Send noise to every other party, as long as it listens."""
    job = json.loads(sys.stdin.readline())
    while True:
        for member in job["manifest"]["members"]:
            if member["id"] == job["party"]:
                continue
            try:
                with socket.create_connection((member["host"], member["port"]), 1) as connection:
                    connection.sendall(os.urandom(4096))
            except OSError:
                pass
        time.sleep(0.2)


def _send_pickles() -> None:
    """Send a pickle that writes a file in place of each message of the iterations."""
    evil = np.frombuffer(_pickle(), np.uint8)
    _replace_late_messages(lambda _payload: evil)


def _send_more() -> None:
    """Send eight bytes too many in each message of the iterations."""
    more = np.zeros(8, np.uint8)
    _replace_late_messages(
        lambda payload: np.concatenate([payload.reshape(-1).view(np.uint8), more])
    )


def _replace_late_messages(change: Callable[[Any], Any]) -> None:
    from graph_mpc.session.session import Session

    post, count = Session.post, [0]

    def post_changed(self: Session, peer: int, tag: int, payload: Any) -> None:
        count[0] += 1
        post(self, peer, tag, change(payload) if count[0] > _SET_UP else payload)

    Session.post = post_changed  # type: ignore[method-assign]


def _send_mpyc_pickles() -> None:
    """Send a pickle that writes a file in place of each MPyC message."""
    from graph_mpc.session.session import Session

    evil = _pickle()
    send = Session.send_mpyc

    def send_pickle(self: Session, peer: int, tag: int, _payload: bytes) -> int:
        return send(self, peer, tag, evil)

    Session.send_mpyc = send_pickle  # type: ignore[method-assign]


def _pickle() -> bytes:
    return pickle.dumps(_WritesFile(os.environ["EVIL_FILE"]))


class _WritesFile:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (Path(self.path), "executed")


def _take_certificate() -> None:
    """Use the credentials of the party named by the environment, without checking them itself."""
    from graph_mpc.session import startup

    job = json.loads(sys.stdin.readline())
    other = os.environ["OTHER_PARTY"]
    mine = Path(job["credentials"]["certificate"]).parent
    for key, path in job["credentials"].items():
        name = Path(path).name.replace(job["party"], other)
        job["credentials"][key] = str(mine.with_name(other) / name)
    startup.check_own_certificate = lambda _config: None  # type: ignore[assignment]
    sys.stdin = io.StringIO(json.dumps(job) + "\n")
    sys.stdin.read = lambda *_: time.sleep(60) or ""  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    sys.exit(main())
