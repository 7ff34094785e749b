"""``undercurrent demo --serve``: the three banks' applications, until somebody presses Ctrl-C."""

import signal
import threading

import httpx
from rich.console import Console
from rich.table import Table

from undercurrent.demo_consortium import DemoConsortium
from undercurrent.demo_morning import PASSWORD, PEOPLE

__all__ = ["addresses", "serve_pages"]

_SECONDS = 10.0


def addresses(consortium: DemoConsortium) -> dict[str, str]:
    """Return where the application of each bank is."""
    ports = {member.id: member.web_port for member in consortium.nodes.members}
    return {bank: f"http://127.0.0.1:{ports[bank]}/" for bank in consortium.banks}


def serve_pages(consortium: DemoConsortium, console: Console) -> None:
    """Say where the applications are and who can sign in, and return at Ctrl-C."""
    found = addresses(consortium)
    for address in found.values():
        httpx.get(address, timeout=_SECONDS)  # it answers, or this tells why not
    banks = Table()
    banks.add_column("bank")
    banks.add_column("open in a browser", overflow="fold")
    for bank, address in found.items():
        banks.add_row(bank, address)
    people = Table()
    people.add_column("name")
    people.add_column("role")
    for name, (role, _display) in PEOPLE.items():
        people.add_row(name, role.value)
    console.print("\n[bold]10. The banks' applications[/], on this machine only:")
    console.print(banks)
    console.print(f"Sign in at each as one of these; the password is [bold]{PASSWORD}[/]")
    console.print(people)
    console.print(
        "Start as ann, an analyst: sort and open alerts, take a case, trace its money. Then be sue,"
        " who approves; audrey, who reads the audit log; otto, who runs the node."
    )
    console.print("[bold]Ctrl-C[/] ends the applications, and leaves results and report.")
    _until_interrupted()


def _until_interrupted() -> None:
    """Wait for Ctrl-C or a request to end, which here is how one goes on."""
    over = threading.Event()
    before = {n: signal.signal(n, lambda *_: over.set()) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not over.wait(1.0):
            continue
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
