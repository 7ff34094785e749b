"""The doctor on the way to the other members' workers.

A worker listens only while a run is computed, so a closed port is no fault: it shows that there is
a way and a host.  What does answer must show the certificate that was agreed.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bank_node.consortium import Agreement, Member
from bank_node.identity import fingerprint
from bank_node.operation.check_keys import certificate_finding
from bank_node.operation.findings import Finding, fault, good, warning
from bank_node.operation.probes import Answer, probe

__all__ = ["check_peers"]

_PORTS = 2
_AT_ONCE = 16


def check_peers(agreement: Agreement, me: str, now: int, seconds: float = 3.0) -> Iterator[Finding]:
    """Look at the certificate, the name, the way and the first ports of each other member."""
    others = [member for member in agreement.members if member.id != me]
    look = partial(_answers, seconds=seconds)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for member, answers in zip(others, pool.map(look, others), strict=True):
            remedy = f"{member.id} rotates its certificate: undercurrent consortium rotate-key"
            name = f"certificate of {member.id}"
            yield certificate_finding(name, member.certificate_pem, now, remedy)
            yield _finding(member, answers)


def _answers(member: Member, seconds: float) -> list[Answer]:
    first, count = member.ports
    ports = range(first, first + min(count, _PORTS))
    return [probe(member.host, port, tls=True, seconds=seconds) for port in ports]


def _finding(member: Member, answers: list[Answer]) -> Finding:
    name, where = f"way to {member.id}", f"{member.host}:{member.ports[0]}"
    outcomes = {answer.outcome for answer in answers}
    shown = [answer.certificate for answer in answers if answer.outcome == "certificate"]
    if any(fingerprint(certificate) != member.certificate for certificate in shown):
        return fault(
            name,
            f"{where} shows another certificate than the agreed one",
            f"Find out who answers there; ask {member.id} by telephone",
        )
    if shown:
        return good(name, f"{where} shows the agreed certificate")
    if "no-name" in outcomes:
        return fault(name, f"the name {member.host} is not known", "Check DNS, or /etc/hosts")
    if "no-route" in outcomes:
        return fault(name, f"there is no way to {where}", "Check routes and firewalls")
    if "plain" in outcomes:
        return fault(
            name, f"what listens at {where} does not speak TLS 1.3", f"Ask {member.id} what it is"
        )
    if "silent" in outcomes:
        return warning(
            name,
            f"nothing answers at {where}; a firewall may drop what is sent there",
            f"Let ports {member.ports[0]} to {sum(member.ports) - 1} through",
        )
    return good(name, f"{where} can be reached; nothing listens, as between runs")
