"""The doctor: looks at all that a node needs, changes nothing, and says what to do.

Findings name members, files and settings; no check reads more of an account than that it is there.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bank_node.consortium import ENGINE, SignedAgreement
from bank_node.coordination import BrokerConfig
from bank_node.errors import UndercurrentError
from bank_node.identity import find_credentials
from bank_node.node.config import NodeConfig, read_config
from bank_node.operation.check_agreement import agreement_of, check_agreement
from bank_node.operation.check_broker import check_broker, check_line, check_unknown
from bank_node.operation.check_desk import check_application, check_rules, check_users
from bank_node.operation.check_keys import check_certificates, check_folder, check_keys
from bank_node.operation.check_machine import (
    check_clock,
    check_disk,
    check_process,
    check_versions,
)
from bank_node.operation.check_peers import check_peers
from bank_node.operation.check_source import check_source
from bank_node.operation.check_store import check_store
from bank_node.operation.findings import Finding, findings_of, good, warning
from bank_node.operation.source import data_of

__all__ = ["broker_of", "examine", "examine_new"]

Check = Callable[[], Iterable[Finding]]


def examine(folder: Path, now: int) -> Iterator[Finding]:
    """Give the findings about a node one by one, as they are found.

    Args:
        folder: the node's folder.
        now: microseconds since 1970 UTC.

    Raises:
        ConfigurationError: ``node.toml`` cannot be read, so that there is nothing to look at.
    """
    config = read_config(folder)
    yield good(
        "settings", f"{folder / 'node.toml'} can be read: {config.node.id}, {config.node.role}"
    )
    for name, check in _checks(config, now):
        yield from findings_of(name, check)


def _checks(config: NodeConfig, now: int) -> Iterator[tuple[str, Check]]:
    signed = _agreement(config, now)
    yield "folder", lambda: check_folder(config.folder)
    yield "keys", lambda: check_keys(config.keys, config.folder / "authority")
    yield "certificate", lambda: check_certificates(config.keys, now)
    yield "agreement", lambda: check_agreement(config, now)
    yield "broker", lambda: _broker(config, signed, now)
    if signed is not None:
        agreement = signed.agreement
        yield "members", lambda: check_peers(agreement, config.node.id, now)
    yield "clock", check_clock
    yield "disk", lambda: check_disk(config)
    yield "database", lambda: check_store(config)
    yield "data source", lambda: _source(config)
    if config.node.role == "bank":
        yield "rules", lambda: check_rules(config)
        yield "application", lambda: check_application(config)
        yield "users", lambda: check_users(config)
    yield "versions", lambda: check_versions(_engines(signed))
    yield "node", lambda: check_process(config)


def examine_new(config: NodeConfig, now: int) -> Iterator[Finding]:
    """Give the findings about what a node that was just set up is to be connected with."""
    yield from findings_of("data source", lambda: _source(config))
    yield from findings_of("broker", lambda: _broker(config, None, now))


def _agreement(config: NodeConfig, now: int) -> SignedAgreement | None:
    try:
        return agreement_of(config, now)
    except (UndercurrentError, OSError):
        # The check of the agreement says what is wrong with it.
        return None


def _engines(signed: SignedAgreement | None) -> dict[str, tuple[str, str]]:
    if signed is None:
        return {}
    return {"the agreement": (signed.agreement.engine, ENGINE)}


def _broker(config: NodeConfig, signed: SignedAgreement | None, now: int) -> Iterator[Finding]:
    broker = broker_of(config, signed)
    if broker is None:
        yield check_unknown(config.broker.url)
        return
    way = list(check_line(broker, now))
    yield from way
    if signed is not None and all(finding.state != "fault" for finding in way):
        agreement = signed.agreement
        keys = {member.id: member.key for member in agreement.members}
        yield from check_broker(broker, agreement.consortium, config.node.id, keys, now)


def broker_of(config: NodeConfig, signed: SignedAgreement | None) -> BrokerConfig | None:
    """Return how the node reaches the broker; None: it has no certificate for it yet."""
    section = config.broker
    if section.url.startswith("mqtt://"):
        return BrokerConfig(url=section.url)
    given = (section.certificate, section.private_key, section.authority)
    if signed is None and None in given:
        return None
    certificate, private_key, authority = given
    if signed is not None and None in given:
        own = signed.agreement.member(config.node.id)
        if own is None:
            return None
        paths = find_credentials(config.keys, own.certificate)
        certificate = certificate or paths.certificate
        private_key = private_key or paths.private_key
        authority = authority or paths.authority
    return BrokerConfig(
        url=section.url, certificate=certificate, private_key=private_key, authority=authority
    )


def _source(config: NodeConfig) -> Iterator[Finding]:
    data = data_of(config)
    if data is not None:
        yield from check_source(data)
    elif config.node.role == "bank":
        yield warning(
            "data source", "a bank without one takes part in rehearsals only", "Add [data]"
        )
