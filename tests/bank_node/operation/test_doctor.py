"""The doctor finds what is wrong with a node, and says what to do."""

import asyncio
import shutil
import socket
import sqlite3
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bank_node.consortium.agreement import parse_agreement
from bank_node.coordination import BrokerConfig, EmbeddedBroker, seal
from bank_node.errors import UnreadableFileError
from bank_node.identity import Authority
from bank_node.intake.config import DataConfig
from bank_node.node.config import read_config
from bank_node.node.errors import ConfigurationError
from bank_node.operation import check_machine
from bank_node.operation.check_broker import check_broker, check_line
from bank_node.operation.check_peers import check_peers
from bank_node.operation.check_source import check_source
from bank_node.operation.doctor import examine
from bank_node.operation.findings import Finding, findings_of, is_sound
from bank_node.operation.probes import probe
from bank_node.operation.template import Answers, SourceAnswers
from bank_node.store import audit
from bank_node.store.database import Database
from bank_node.store.entries import append
from tests.bank_node.operation.members import (
    CONSORTIUM,
    DAY,
    Node,
    agree,
    consortium,
    now_us,
    set_up,
)
from tests.mosquitto import free_port, mosquitto
from tests.services import postgresql_cluster  # noqa: F401 - a fixture

ACCOUNT = "DE02100100100006820101"
TRANSACTIONS = "tx_id,timestamp,from_bank,from_account,to_bank,to_account,amount,currency"
ROW = f"1,2026-01-01,bank-a,{ACCOUNT},bank-b,B1,10.00,EUR"


def named(findings: list[Finding], name: str) -> list[Finding]:
    """Return the findings of a name."""
    return [finding for finding in findings if finding.name == name]


def look(node: Node, now: int | None = None) -> list[Finding]:
    """Return what the doctor finds."""
    return list(examine(node.folder, now_us() if now is None else now))


def fill_source(folder: Path) -> Path:
    """Write files of transactions and accounts."""
    folder.mkdir()
    (folder / "transactions-1.csv").write_text(f"{TRANSACTIONS}\n{ROW}\n")
    (folder / "accounts.csv").write_text(f"account,risk_score\n{ACCOUNT},0.5\n")
    return folder


def fill_database(node: Node) -> Path:
    """Make a node's database with two audit entries and a signed head."""
    database = Database.open(f"sqlite:///{node.folder / 'node.db'}")
    with database.begin() as session:
        for number in range(2):
            append(session, at=number, actor="node", action="node.started", details={})
        audit.sign_head(session, node.key, now_us())
    database.close()
    return node.folder / "node.db"


@contextmanager
def tls_server(certificate: Path, key: Path, port: int) -> Iterator[list[bytes | None]]:
    """Listen with a certificate and ask for the other's, as a worker does; gives what it saw."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(certificate)
    seen: list[bytes | None] = []
    listener = socket.create_server(("127.0.0.1", port))

    def answer() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(line, server_side=True) as secured:
                    seen.append(secured.getpeercert(binary_form=True))
            except OSError:
                seen.append(b"broken")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


async def test_a_healthy_node_has_no_fault(tmp_path: Path) -> None:
    """With keys, agreement, broker, database and source in place nothing is a fault."""
    source = fill_source(tmp_path / "tx")
    async with EmbeddedBroker() as broker:
        nodes = consortium(tmp_path, broker=broker.url, source=SourceAnswers("csv", folder=source))
        fill_database(nodes[0])
        findings = await asyncio.to_thread(look, nodes[0])
    assert is_sound(findings), [f for f in findings if f.state == "fault"]
    names = {finding.name for finding in findings}
    assert names >= {
        "settings",
        "folder",
        "key signing-1.pem",
        "certificate tls-1.crt",
        "certificate authority.crt",
        "agreement 1",
        "broker",
        "broker's consent",
        "way to bank-b",
        "certificate of bank-c",
        "clock",
        "disk (node's folder)",
        "database",
        "audit log",
        "data source (transactions)",
        "data source (accounts)",
        "versions",
        "node",
    }
    assert ACCOUNT not in repr(findings)


def test_a_new_node_is_told_to_join(tmp_path: Path) -> None:
    """Without certificate and agreement the remedies lead to the consortium."""
    authority = Authority.create(tmp_path / "authority", CONSORTIUM)
    node = set_up(tmp_path / "n", authority, Answers(id="n", consortium=CONSORTIUM))
    (node.folder / "keys" / "tls-1.crt").unlink()
    findings = look(node)
    (certificate,) = named(findings, "certificate")
    (agreement,) = named(findings, "agreement")
    assert "consortium join" in certificate.remedy
    assert agreement.state == "fault"
    assert named(findings, "database")[0].state == "warning"


def test_a_readable_key_is_a_fault(tmp_path: Path) -> None:
    """A key that others can read is found, and so is an open folder."""
    node = consortium(tmp_path)[0]
    (node.folder / "keys" / "signing-1.pem").chmod(0o640)
    node.folder.chmod(0o750)
    Authority.create(node.folder / "authority", CONSORTIUM)
    (node.folder / "authority" / "authority.pem").chmod(0o604)
    findings = look(node)
    assert named(findings, "key authority.pem")[0].state == "fault"
    (key,) = named(findings, "key signing-1.pem")
    assert (key.state, "0640" in key.text) == ("fault", True)
    assert named(findings, "folder")[0].state == "fault"


def test_a_broken_or_missing_key_is_a_fault(tmp_path: Path) -> None:
    """A file that is no key, a certificate of another key and a missing key are found."""
    node, other = consortium(tmp_path)[:2]
    keys = node.folder / "keys"
    (keys / "signing-1.pem").write_text("no key")
    shutil.copy(other.folder / "keys" / "tls-1.pem", keys / "tls-1.pem")
    findings = look(node)
    assert named(findings, "key signing-1.pem")[0].state == "fault"
    assert "is not the key of" in named(findings, "certificate tls-1.crt")[0].text
    (keys / "signing-1.pem").unlink()
    assert named(look(node), "keys")[0].state == "fault"


@pytest.mark.parametrize(
    ("days", "state"), [(400, "ok"), (31, "ok"), (29, "warning"), (1, "warning"), (-1, "fault")]
)
def test_the_end_of_a_certificate_is_seen_coming(tmp_path: Path, days: int, state: str) -> None:
    """From 30 days before its end a certificate is warned about; after it, it is a fault."""
    authority = Authority.create(tmp_path / "authority", CONSORTIUM)
    answers = Answers(id="bank-a", consortium=CONSORTIUM)
    node = set_up(tmp_path / "bank-a", authority, answers, days=500)
    findings = look(node, now_us() + (500 - days) * DAY - DAY // 2)
    assert named(findings, "certificate tls-1.crt")[0].state == state


def test_a_changed_agreement_is_a_fault(tmp_path: Path) -> None:
    """An installed agreement with another value than was signed is found."""
    node = consortium(tmp_path)[0]
    file = node.folder / "agreements" / "consortium-1.toml"
    file.write_text(file.read_text().replace("1000000", "9000000"))
    (agreement,) = named(look(node), "agreement")
    assert agreement.state == "fault"
    assert "consortium-1.toml" in agreement.text


def test_settings_that_differ_from_the_agreement_are_a_fault(tmp_path: Path) -> None:
    """A port in the settings that nobody agreed to is named, with both values."""
    node = consortium(tmp_path)[0]
    file = node.folder / "node.toml"
    file.write_text(file.read_text().replace("\nport = 9400\n", "\nport = 9999\n"))
    (first, second) = named(look(node), "agreement 1")
    assert first.state == "ok"
    assert second.text == "[node] differs from it: port is 9999, agreed 9400"


def test_an_agreement_that_ends_soon_is_a_warning(tmp_path: Path) -> None:
    """The members hear 30 days before the end that a next version is needed."""
    node = consortium(tmp_path)[0]
    assert named(look(node, now_us() + 290 * DAY), "agreement 1")[0].state == "warning"


def test_a_node_without_settings_has_nothing_to_look_at(tmp_path: Path) -> None:
    """Where there is no node.toml the doctor says so in one line."""
    with pytest.raises(ConfigurationError, match=r"node\.toml"):
        list(examine(tmp_path, 0))


# The audit log and the database.


def test_a_changed_audit_row_is_a_fault(tmp_path: Path) -> None:
    """An audit entry that was edited in the database is found."""
    node = consortium(tmp_path)[0]
    file = fill_database(node)
    assert named(look(node), "audit log")[0].state == "ok"
    with closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE audit SET actor = 'nobody' WHERE number = 1")
        database.commit()
    (found,) = named(look(node), "audit log")
    assert (found.state, "entry 1" in found.text) == ("fault", True)


def test_the_database_is_not_changed_by_looking(tmp_path: Path) -> None:
    """Tables of another revision are told, and left as they are; a readable file is a fault."""
    node = consortium(tmp_path)[0]
    file = fill_database(node)
    with closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE undercurrent_schema SET version_num = 'r9999'")
        database.commit()
    file.chmod(0o644)
    states = {finding.state: finding.text for finding in named(look(node), "database")}
    assert "r9999" in states["warning"]
    assert "others can read" in states["fault"]
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT version_num FROM undercurrent_schema").fetchone() == (
            "r9999",
        )


def test_a_database_that_is_none_is_a_fault(tmp_path: Path) -> None:
    """A file with something else in it is found."""
    node = consortium(tmp_path)[0]
    (node.folder / "node.db").write_text("no database " * 100)
    (node.folder / "node.db").chmod(0o600)
    assert named(look(node), "database")[0].state == "fault"


def test_a_database_on_a_server_is_looked_at(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """PostgreSQL is checked as SQLite is; one that does not answer is a fault."""
    cluster: Any = request.getfixturevalue("postgresql_cluster")
    name = cluster.new_database()
    node = consortium(tmp_path, store=cluster.url(name))[0]
    assert named(look(node), "database")[0].state == "ok"
    cluster.drop(name)
    (found,) = named(look(node), "database")
    assert found.state == "fault"


# Room and process.


def test_little_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nearly full disk is a warning, a full one a fault."""
    config = read_config(consortium(tmp_path)[0].folder)
    usage = type(shutil.disk_usage(tmp_path))
    states = []
    for free in (10**12, 10**9, 10**8):
        told = usage(10**13, 0, free)
        monkeypatch.setattr(check_machine.shutil, "disk_usage", lambda _path, told=told: told)
        states += [finding.state for finding in check_machine.check_disk(config)]
    assert states == ["ok", "warning", "fault"]


def test_another_protocol_is_a_fault() -> None:
    """An agreement for another version of the protocol than this program's is found."""
    findings = list(check_machine.check_versions({"the agreement": ("2", "1")}))
    assert [finding.state for finding in findings] == ["ok", "fault"]


# The broker and the clocks.


def test_mosquitto_with_client_certificates(tmp_path: Path) -> None:
    """The broker's certificate is looked at, and whether it lets this member in."""
    with mosquitto(CONSORTIUM, tmp_path / "certificates") as broker:
        config = broker.config("bank-a")
        now = now_us()
        line = list(check_line(config, now))
        inside = list(check_broker(config, CONSORTIUM, "bank-a", {"bank-a": "00" * 32}, now))
        later = list(check_line(config, now + 2 * DAY))
    assert [(f.name, f.state) for f in line] == [
        ("broker's certificate", "warning"),
        ("broker", "ok"),
    ]
    assert [(f.name, f.state) for f in inside] == [("broker's consent", "ok")]
    assert later[0].state == "fault"
    assert next(iter(check_line(config, now))).state == "fault"


def test_a_broker_of_another_authority_is_a_fault(tmp_path: Path) -> None:
    """A broker whose certificate is not of the consortium's authority is not trusted."""
    stranger = Authority.create(tmp_path / "other", "other").certificate_pem
    (tmp_path / "other.crt").write_text(stranger)
    with mosquitto(CONSORTIUM, tmp_path / "certificates") as broker:
        config = broker.config("bank-a").model_copy(update={"authority": tmp_path / "other.crt"})
        findings = list(check_line(config, now_us()))
    assert (findings[-1].name, findings[-1].state) == ("broker", "fault")
    assert "refused" in findings[-1].text


def test_a_member_that_the_broker_does_not_know_is_told(tmp_path: Path) -> None:
    """A broker that refuses this member's certificate is a fault that names the member."""
    with (
        mosquitto(CONSORTIUM, tmp_path / "one") as broker,
        mosquitto(CONSORTIUM, tmp_path / "two") as another,
    ):
        config = broker.config("bank-a")
        foreign = another.credentials("bank-a")
        wrong = config.model_copy(
            update={"certificate": foreign.certificate, "private_key": foreign.private_key}
        )
        findings = list(check_broker(wrong, CONSORTIUM, "bank-a", {}, now_us()))
    assert [(f.name, f.state) for f in findings] == [("broker's consent", "fault")]


async def test_clocks_are_seen_in_the_statuses(tmp_path: Path) -> None:
    """Of each member the doctor says whether it is there, and whether its clock is ahead."""
    nodes = consortium(tmp_path)
    keys = {node.id: node.key.public for node in nodes} | {"bank-d": nodes[0].key.public}
    now = now_us()
    ahead = {"bank-a": 0, "bank-b": 60_000_000, "bank-c": 300_000_000}
    async with EmbeddedBroker() as broker:
        for node in nodes:
            await keep_status(broker, node, now + ahead[node.id], "online")
        findings = await asyncio.to_thread(heard, broker.url, keys, now)
        await keep_status(broker, nodes[1], now - 1_000_000, "online")
        await keep_status(broker, nodes[2], now - 1_000_000, "offline")
        later = await asyncio.to_thread(heard, broker.url, keys, now)
    assert {f.name: f.state for f in findings} == {
        "broker's consent": "ok",
        "member bank-b": "warning",
        "member bank-c": "fault",
        "member bank-d": "warning",
    }
    assert "60 s ahead" in named(findings, "member bank-b")[0].text
    assert "300 s ahead" in named(findings, "member bank-c")[0].text
    assert named(later, "member bank-b")[0].state == "ok"
    assert "not there" in named(later, "member bank-c")[0].text


def heard(url: str, keys: dict[str, str], now: int) -> list[Finding]:
    """Return what the doctor says after listening."""
    return list(check_broker(BrokerConfig(url=url), CONSORTIUM, "bank-a", keys, now))


async def keep_status(broker: EmbeddedBroker, node: Node, at: int, state: str) -> None:
    """Let the broker keep a status of a node, issued at a time."""
    import aiomqtt

    topic = f"undercurrent/v1/{CONSORTIUM}/status/{node.id}"
    payload = seal(
        node.key,
        topic=topic,
        consortium=CONSORTIUM,
        sender=node.id,
        sequence=1,
        kind="status",
        content={"state": state},
        now=at,
        lifetime=DAY,
    )
    async with aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V311) as c:
        await c.publish(topic, payload, qos=1, retain=True)


# The other members.


def test_a_worker_must_show_the_agreed_certificate(tmp_path: Path) -> None:
    """What answers at a member's port is compared with the certificate in the agreement."""
    nodes = consortium(tmp_path)
    port = free_port()
    raw = agree(nodes, Authority.load(tmp_path / "authority"), install=False)
    raw["members"][1]["ports"] = [port, 2]
    agreement = parse_agreement(raw).agreement
    shown = {}
    for node in nodes[1:]:
        keys = node.folder / "keys"
        with tls_server(keys / "tls-1.crt", keys / "tls-1.pem", port) as seen:
            shown[node.id] = named(
                list(check_peers(agreement, "bank-a", now_us())), "way to bank-b"
            )
        assert seen == [None], "the doctor shows no certificate of its own"
    assert shown["bank-b"][0].state == "ok"
    assert shown["bank-c"][0].state == "fault"
    assert "another certificate" in shown["bank-c"][0].text


def test_the_way_to_a_member_is_looked_at(tmp_path: Path) -> None:
    """A closed port shows a way; an unknown name and something without TLS are faults."""
    nodes = consortium(tmp_path)
    raw = agree(nodes, Authority.load(tmp_path / "authority"), install=False)
    raw["members"][1] |= {"host": "nowhere.invalid"}
    with socket.create_server(("127.0.0.1", 0)) as plain:
        raw["members"][2] |= {"ports": [plain.getsockname()[1], 2]}
        agreement = parse_agreement(raw).agreement
        findings = list(check_peers(agreement, "bank-a", now_us(), seconds=0.3))
    ways = {f.name: f for f in findings if f.name.startswith("way")}
    assert ways["way to bank-b"].text == "the name nowhere.invalid is not known"
    assert "TLS" in ways["way to bank-c"].text
    assert probe("127.0.0.1", free_port(), tls=True).outcome == "closed"


# The source.


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_source_of_files_is_read_at_its_beginning(tmp_path: Path, kind: str) -> None:
    """Files with the right columns, by their own names too, are fine; a row is not shown."""
    folder = fill_source(tmp_path / "tx")
    if kind == "parquet":
        names = TRANSACTIONS.split(",")
        table = pa.table({name: [value] for name, value in zip(names, ROW.split(","), strict=True)})
        pq.write_table(table.rename_columns(["id", *names[1:]]), folder / "transactions.parquet")
        pq.write_table(pa.table({"account": [ACCOUNT]}), folder / "accounts.parquet")
    columns = {"tx_id": "id"} if kind == "parquet" else {}
    findings = list(check_source(DataConfig(source=kind, folder=folder, columns=columns)))
    assert [f.state for f in findings] == ["ok", "ok"], findings
    assert "1 rows" in findings[0].text
    assert ACCOUNT not in repr(findings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "missing"),
        (ROW + "\n" + ROW + "\n", "missing"),
        ("", "no row can be read"),
        (TRANSACTIONS + "\n" + ROW + ",too,many\n", "0 rows"),
    ],
)
def test_a_file_that_cannot_be_taken_in_is_told_without_its_rows(
    tmp_path: Path, text: str, said: str
) -> None:
    """Missing columns, no header or an empty file are told; no value of a row is."""
    folder = fill_source(tmp_path / "tx")
    (folder / "transactions-1.csv").write_text(text)
    finding = next(check_source(DataConfig(source="csv", folder=folder)))
    assert said in finding.text
    assert ACCOUNT not in repr(finding)


def test_a_source_without_files_yet_is_a_warning(tmp_path: Path) -> None:
    """An empty folder is a warning that names pattern and folder; a missing one is a fault."""
    (tmp_path / "tx").mkdir()
    findings = list(check_source(DataConfig(source="csv", folder=tmp_path / "tx")))
    assert [f.state for f in findings] == ["warning", "warning"]
    gone = list(check_source(DataConfig(source="csv", folder=tmp_path / "gone")))
    assert [f.state for f in gone] == ["fault", "fault"]


def test_a_source_in_postgresql_is_asked(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A table, a table with a schema and a query are read; what is wrong is told by its kind."""
    import psycopg

    cluster: Any = request.getfixturevalue("postgresql_cluster")
    name = cluster.new_database()
    names = TRANSACTIONS.replace(",", " text, ") + " text"
    with psycopg.connect(cluster.dsn(name), autocommit=True) as connection:
        connection.execute(f"CREATE TABLE transactions ({names})".encode())
        connection.execute(
            b"INSERT INTO transactions VALUES ('1','2','a','"
            + ACCOUNT.encode()
            + b"','b','c','d','e')"
        )
        connection.execute(b"CREATE SCHEMA core")
        connection.execute(b"CREATE TABLE core.customers (account text, risk_score real)")
    dsn = tmp_path / "dsn"
    dsn.write_text(cluster.dsn(name))
    dsn.chmod(0o600)
    kept = {"source": "postgresql", "dsn_file": dsn}
    query = "SELECT account FROM core.customers WHERE true;"
    for accounts, states in (
        ("core.customers", ["ok", "ok"]),
        (query, ["ok", "ok"]),
        ("core.nothing", ["ok", "fault"]),
    ):
        findings = list(check_source(DataConfig.model_validate(kept | {"accounts": accounts})))
        assert [f.state for f in findings] == states, findings
        assert ACCOUNT not in repr(findings)
    assert "SQLSTATE 42P01" in findings[1].text
    dsn.chmod(0o644)
    assert next(check_source(DataConfig.model_validate(kept))).state == "fault"
    cluster.drop(name)


def test_an_error_of_a_check_is_a_finding_without_its_words() -> None:
    """A check that fails ends in a fault; words that could quote a row are left out."""

    def known() -> list[Finding]:
        raise UnreadableFileError("accounts.csv: no CSV file", "Write one")

    def unknown() -> list[Finding]:
        raise ValueError(ACCOUNT)

    (told,) = findings_of("x", known)
    (untold,) = findings_of("x", unknown)
    assert (told.text, told.remedy) == ("accounts.csv: no CSV file", "Write one")
    assert untold.state == "fault"
    assert "ValueError" in untold.text
    assert ACCOUNT not in repr(untold)
