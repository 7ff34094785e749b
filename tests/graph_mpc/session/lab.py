"""Starts real parties as processes, for the tests of the session."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graph_mpc.session import Credentials, ThrowawayAuthority

CONSORTIUM = "testers"
SHORT = {
    "start": 20.0,
    "handshake": 8.0,
    "receive": 30.0,
    "silence": 1.5,
    "heartbeat": 0.25,
    "shutdown": 20.0,
    "linger": 0.5,
}
ROOT = Path(__file__).parents[3]


@dataclass
class Party:
    """A running process."""

    name: str
    process: subprocess.Popen[str]
    ready_file: Path

    def wait_ready(self, seconds: float = 15.0) -> None:
        until = time.monotonic() + seconds
        while not self.ready_file.exists():
            if time.monotonic() > until or self.process.poll() is not None:
                raise AssertionError(f"{self.name} did not get ready: {self.process.communicate()}")
            time.sleep(0.02)

    def report(self, seconds: float = 25.0) -> dict[str, Any]:
        """Return the one line that the party writes, which must be all of its stdout."""
        out, err = self.process.communicate(timeout=seconds)
        lines = out.splitlines()
        assert len(lines) == 1, (self.name, out, err)
        report: dict[str, Any] = json.loads(lines[0])
        report["stderr"] = err
        return report


@dataclass
class Lab:
    """The parties of one test."""

    folder: Path
    m: int = 3
    run_id: str = "run-1"
    authority: ThrowawayAuthority = field(default_factory=lambda: ThrowawayAuthority(CONSORTIUM))
    deadlines: dict[str, float] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    parties: list[Party] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = [f"bank-{chr(ord('a') + i)}" for i in range(self.m)]
        self.listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(self.m)]
        self.ports = [listener.getsockname()[1] for listener in self.listeners]
        self.credentials: list[Credentials] = [
            self.authority.issue(name, self.folder) for name in self.names
        ]

    def settings(self, me: int, program: str, **changes: Any) -> dict[str, Any]:
        credentials = self.credentials[me]
        return {
            "program": program,
            "run_id": self.run_id,
            "consortium": CONSORTIUM,
            "me": me,
            "members": [[n, "127.0.0.1", p] for n, p in zip(self.names, self.ports, strict=True)],
            "certificate": str(credentials.certificate),
            "private_key": str(credentials.private_key),
            "authority": str(credentials.authority),
            "listen_fd": self.listeners[me].fileno(),
            "deadlines": SHORT | self.deadlines,
            "limits": self.limits,
            **changes,
        }

    def start(
        self, me: int, program: str, env: dict[str, str] | None = None, **changes: Any
    ) -> Party:
        """Start one party; its process takes over the listening socket."""
        ready_file = self.folder / f"ready-{me}"
        settings = self.settings(me, program, **changes)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.graph_mpc.session.party", json.dumps(settings)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"READY_FILE": str(ready_file)} | (env or {}),
            pass_fds=[] if settings["listen_fd"] is None else [settings["listen_fd"]],
        )
        self.listeners[me].close()
        party = Party(self.names[me], process, ready_file)
        self.parties.append(party)
        return party

    def start_all(self, program: str, env: dict[str, str] | None = None) -> list[Party]:
        return [self.start(me, program, env) for me in range(self.m)]

    def close(self) -> None:
        """End what a failed test left."""
        for listener in self.listeners:
            listener.close()
        for party in self.parties:
            if party.process.poll() is None:
                party.process.send_signal(signal.SIGKILL)
            party.process.communicate()
