"""The doctor on the people's side: rules, profiles, the application's certificate, the users."""

import ipaddress
from collections.abc import Callable, Iterator
from pathlib import Path

from alerts import AlertsError, load_rules
from alerts.export import load_profile
from bank_node.node.config import NodeConfig
from bank_node.operation.backup import sqlite_file
from bank_node.operation.findings import Finding, fault, good, warning
from bank_node.people import list_people
from bank_node.store import Database

__all__ = ["check_application", "check_rules", "check_users"]


def check_rules(config: NodeConfig) -> Iterator[Finding]:
    """Look at the rules of alerts and the profiles of draft reports."""
    path = config.beside(config.alerts.rules)
    if not config.alerts.enabled:
        yield warning("rules", "no alerts are raised", "Set enabled = true under [alerts]")
    elif not path.is_file():
        yield good("rules", f"those that come with the program; {path} is not there")
    else:
        yield _read(path, "rules", lambda p: f"{p}: {len(load_rules(p).rule)} rules")
    folder = config.beside(config.alerts.profiles)
    for profile in sorted(folder.glob("*.toml")) if folder.is_dir() else ():
        yield _read(profile, "profile", lambda p: f"{p}: {load_profile(p).country}")


def _read(path: Path, name: str, look: Callable[[Path], str]) -> Finding:
    try:
        return good(name, look(path))
    except AlertsError as error:
        return fault(name, error.message, f"Correct {path}: {error.remedy}")


def check_application(config: NodeConfig) -> Iterator[Finding]:
    """Look at where the application is served, and whether its words are safe on the way."""
    web = config.web
    if not web.port:
        yield good("application", "not served: port = 0 under [web]")
        return
    where = f"{web.host}:{web.port}"
    for name in ("certificate", "private_key"):
        path = getattr(web, name)
        if path is not None and not config.beside(path).is_file():
            yield fault("application", f"{name} is not there: {path}", f"Correct {name} in [web]")
    key = None if web.private_key is None else config.beside(web.private_key)
    if key is not None and key.is_file() and key.stat().st_mode & 0o077:
        yield fault("application", f"others can read {key}", f"chmod 600 {key}")
    if web.certificate is not None and key is not None:
        yield good("application", f"https://{where}")
    elif web.behind_proxy:
        yield good("application", f"{where}, behind a proxy that speaks HTTPS")
    elif _is_loopback(web.host):
        yield good("application", f"http://{where}, for this machine only")
    else:
        yield fault(
            "application",
            f"{where} would be served without HTTPS",
            "Give certificate and private_key under [web], or behind_proxy = true",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_users(config: NodeConfig) -> Iterator[Finding]:
    """Look at who can sign in, and whether a case can be closed by two of them."""
    file = sqlite_file(config)
    if file is not None and not file.exists():
        return
    database = Database.open(config.store_url)
    try:
        with database.read() as session:
            there = [person for person in list_people(session) if not person.disabled]
    finally:
        database.close()
    roles = sorted(person.role.value for person in there)
    remedy = "undercurrent people add NAME --role supervisor"
    if not there:
        yield warning("users", "nobody can sign in", remedy)
    elif roles.count("supervisor") + roles.count("analyst") < 2 or "supervisor" not in roles:
        yield warning("users", f"no case can be closed by two people: {', '.join(roles)}", remedy)
    else:
        yield good("users", f"{len(there)} can sign in: {', '.join(roles)}")
