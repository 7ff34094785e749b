"""``demo --serve``: what a newcomer plays with is there, and ends in good order."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from undercurrent.demo_morning import PASSWORD

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_three_applications_until_somebody_ends_them(tmp_path: Path) -> None:
    """Each bank's people sign in at its own; Ctrl-C leaves results and report, and no process."""
    command = [sys.executable, "-m", "undercurrent", "demo", "--serve", "--accounts", "600"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = ""
    try:
        for line in process.stdout:
            told += line
            if "Ctrl-C" in line:
                break
        addresses = re.findall(r"http://127\.0\.0\.1:\d+/", told)
        assert len(set(addresses)) == 3
        assert "closed by two people" in told
        for address in addresses:
            for name in ("ann", "sue", "audrey", "otto"):
                body = {"name": name, "password": PASSWORD}
                answer = httpx.post(f"{address}api/v1/sign-in", json=body, timeout=60)
                assert answer.status_code == 200, answer.text
            assert 'name="password"' in httpx.get(f"{address}sign-in", timeout=60).text
        process.send_signal(signal.SIGINT)
        told += process.stdout.read()
        assert process.wait(timeout=60) == 0, told
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "out" / "report.html").is_file()
    for address in addresses:
        with pytest.raises(httpx.ConnectError):
            httpx.get(address, timeout=5)
