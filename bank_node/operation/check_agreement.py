"""The doctor on the agreement in effect, and on this member's place in it."""

from collections.abc import Iterator

from bank_node.consortium import Agreement, Book, SignedAgreement
from bank_node.identity import find_credentials, find_signing_key
from bank_node.node.config import NodeConfig
from bank_node.operation.check_keys import WARN_DAYS
from bank_node.operation.findings import Finding, date_of, fault, findings_of, good, warning

__all__ = ["agreement_of", "check_agreement"]

_DAY = 86_400_000_000


def agreement_of(config: NodeConfig, now: int) -> SignedAgreement | None:
    """Return the agreement in effect, or else the next one, so that its members can be looked at.

    Raises:
        AgreementError: an installed file is not what was installed.
    """
    book = Book(config.agreements)
    return book.in_effect(now) or book.coming(now)


def check_agreement(config: NodeConfig, now: int) -> Iterator[Finding]:
    """Verify the installed agreements again, and look at the one in effect."""
    book = Book(config.agreements)
    current, coming = book.in_effect(now), book.coming(now)
    if coming is not None:
        start = date_of(coming.agreement.effective_us)
        yield good("agreement", f"version {coming.agreement.version} is in effect from {start}")
    if current is None:
        yield fault(
            "agreement",
            "none is in effect, so no run can begin",
            "Sign and install one: undercurrent consortium sign, install",
        )
    for signed in (current, coming):
        if signed is not None:
            yield from _one(config, signed, now)


def _one(config: NodeConfig, signed: SignedAgreement, now: int) -> Iterator[Finding]:
    agreement = signed.agreement
    name = f"agreement {agreement.version}"
    end = date_of(agreement.expires_us)
    text = f"{agreement.consortium}, signed by all {len(agreement.members)} members, until {end}"
    if agreement.expires_us - now < WARN_DAYS * _DAY:
        yield warning(name, text, "Agree on the next version: undercurrent consortium new --from")
    else:
        yield good(name, text)
    yield from findings_of(name, lambda: _own_place(config, agreement, name))


def _own_place(config: NodeConfig, agreement: Agreement, name: str) -> Iterator[Finding]:
    """Compare what the agreement says of this member with its keys and settings."""
    section = config.node
    member = agreement.member(section.id)
    if member is None:
        yield fault(name, f"{section.id} is no member", "Correct id under [node], or join again")
        return
    find_signing_key(config.keys, member.key)
    find_credentials(config.keys, member.certificate)
    pairs = {
        "consortium": (agreement.consortium, section.consortium),
        "role": (member.role, section.role),
        "host": (member.host, section.host),
        "port": (member.ports[0], section.port),
        "port_count": (member.ports[1], section.port_count),
    }
    different = [name for name, (agreed, set_here) in pairs.items() if agreed != set_here]
    if different:
        told = ", ".join(
            f"{name} is {pairs[name][1]}, agreed {pairs[name][0]}" for name in different
        )
        yield fault(name, f"[node] differs from it: {told}", "Set what was agreed in node.toml")
    else:
        yield good(name, f"{section.id} has the keys that it names, and [node] agrees with it")
