"""Health and metrics are told on loopback, and nowhere else."""

import asyncio
import os
import signal
import socket
from dataclasses import dataclass, field

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from bank_node.operation.errors import ListenError, NotLoopbackError
from bank_node.operation.http import operation_app, serve
from bank_node.operation.metrics import NodeMetrics, label
from bank_node.operation.serving import address_of, bound


@dataclass
class Source:
    """A daemon whose state the test sets."""

    metrics: NodeMetrics = field(default_factory=lambda: NodeMetrics("1.2.0"))
    ill: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)

    @property
    def registry(self) -> CollectorRegistry:
        return self.metrics.registry

    def health(self) -> list[str]:
        return self.ill

    def ready(self) -> list[str]:
        return self.waiting


def samples(source: Source) -> dict[str, float]:
    """Return the values of all metrics, by name and labels."""
    found: dict[str, float] = {}
    for family in source.metrics.registry.collect():
        for sample in family.samples:
            inside = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            found[f"{sample.name}{{{inside}}}"] = sample.value
    return found


async def test_answers_are_sent_at_once() -> None:
    """Nagle's algorithm is off on the connections: it would hold back the body of each answer."""
    off: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def taken(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken_socket = writer.get_extra_info("socket")
        off.set_result(taken_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listener = bound(address_of("localhost"), 0, "a test", "http")
    async with await asyncio.start_server(taken, sock=listener):
        _reader, writer = await asyncio.open_connection(*listener.getsockname())
        assert await off == 1
        writer.close()
        await writer.wait_closed()


async def test_answers_follow_the_daemon() -> None:
    """200 while all is well; 503 with the reasons when not; readiness and health are apart."""
    source = Source()
    async with (
        serve(operation_app(source), "127.0.0.1", 0) as (host, port),
        httpx.AsyncClient(base_url=f"http://{host}:{port}") as client,
    ):
        well = [(await client.get(path)).status_code for path in ("/healthz", "/readyz")]
        source.waiting = ["no agreement is in effect", "the broker is not connected"]
        waiting = await client.get("/readyz")
        still = await client.get("/healthz")
        source.ill = ["the database does not answer"]
        ill = await client.get("/healthz")
        elsewhere = await client.get("/")
    assert well == [200, 200]
    assert (waiting.status_code, still.status_code, ill.status_code) == (503, 200, 503)
    assert waiting.json() == {"ready": False, "reasons": source.waiting}
    assert waiting.headers["cache-control"] == "no-store"
    assert "server" not in waiting.headers
    assert elsewhere.status_code == 404


async def test_prometheus_can_read_the_metrics() -> None:
    """/metrics is in Prometheus' text form and holds what the daemon counted."""
    source = Source()
    source.metrics.run_entered("failed", "session.peer-lost")
    async with (
        serve(operation_app(source), "127.0.0.1", 0) as (host, port),
        httpx.AsyncClient() as client,
    ):
        answer = await client.get(f"http://{host}:{port}/metrics")
    families = {f.name: f for f in text_string_to_metric_families(answer.text)}
    (total,) = [s for s in families["undercurrent_runs"].samples if s.name.endswith("_total")]
    assert total.labels == {"phase": "failed", "reason": "session.peer-lost"}
    assert total.value == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "bank.example", ""])
async def test_only_loopback_without_a_note(host: str) -> None:
    """Another address than loopback, or a name, is refused before anything listens."""
    with pytest.raises(NotLoopbackError):
        async with serve(operation_app(Source()), host, 0):
            pass


async def test_a_proxy_note_opens_another_address() -> None:
    """Who puts a proxy with a login in front says so, and may listen elsewhere."""
    app = operation_app(Source())
    async with serve(app, "0.0.0.0", 0, proxy_note="nginx with client certificates") as address:
        assert address[0] == "0.0.0.0"


async def test_a_taken_port_is_said_in_one_line() -> None:
    """A port in use is an error with a remedy, and leaves nothing open."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ListenError, match="Address already in use"):
            async with serve(operation_app(Source()), "127.0.0.1", other.getsockname()[1]):
                pass


async def test_the_port_is_free_again_after_the_block() -> None:
    """The server ends with its block, with a client connected, and when the block fails."""
    app = operation_app(Source())
    async with serve(app, "localhost", 0) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(RuntimeError, match="the daemon failed"):
        async with serve(app, host, port):
            raise RuntimeError("the daemon failed")
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((host, port))


async def test_signals_stay_with_the_daemon() -> None:
    """The server takes no signal: SIGTERM reaches the handler that the daemon has set."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    try:
        async with serve(operation_app(Source()), "127.0.0.1", 0):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(stopped.wait(), 5)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def test_each_number_is_where_it_belongs() -> None:
    """What the daemon tells stands under its name, times in seconds since 1970."""
    source = Source()
    metrics = source.metrics
    metrics.run_stored("pagerank", 12.0, 5_000, 1_800_000_000_000_000)
    metrics.runs(running=2, queued=3)
    metrics.message_refused("too-large")
    metrics.connected(is_connected=True)
    metrics.budgets({"bank-a": 10, "bank-b": 20})
    metrics.budgets({"bank-a": 7})
    metrics.taken_in(100, {"risk score outside 0 to 1": 2}, 1_800_000_000_000_000)
    metrics.certificate("tls", 29.5)
    found = samples(source)
    assert found["undercurrent_run_seconds_sum{analysis=pagerank}"] == 12
    assert found["undercurrent_run_bytes_total{analysis=pagerank}"] == 5_000
    assert found["undercurrent_last_run_timestamp_seconds{analysis=pagerank}"] == 1.8e9
    assert found["undercurrent_runs_running{}"] == 2
    assert found["undercurrent_runs_queued{}"] == 3
    assert found["undercurrent_messages_refused_total{reason=too-large}"] == 1
    assert found["undercurrent_broker_connected{}"] == 1
    assert found["undercurrent_budget_left_bits{bank=bank-a}"] == 7
    assert not [name for name in found if "bank-b" in name]
    assert found["undercurrent_intake_rows_total{}"] == 100
    assert found["undercurrent_intake_rows_rejected_total{reason=risk score outside 0 to 1}"] == 2
    assert found["undercurrent_certificate_days_left{certificate=tls}"] == 29.5
    assert found["undercurrent_build{version=1.2.0}"] == 1


def test_no_account_becomes_a_label() -> None:
    """A reason that is not words of the program is counted under 'other'."""
    source = Source()
    source.metrics.run_entered("failed", "DE02100100100006820101")
    source.metrics.message_refused("12345678")
    source.metrics.taken_in(1, {"A1234567": 1}, 0)
    assert not [name for name in samples(source) if "DE02" in name or "1234567" in name]
    assert label("12345678") == "other"


def test_the_number_of_labels_is_bounded() -> None:
    """A peer that invents reasons fills no memory."""
    source = Source()
    for number in range(1000):
        source.metrics.message_refused("x" + "".join(chr(97 + int(d)) for d in str(number)))
    reasons = [n for n in samples(source) if n.startswith("undercurrent_messages_refused_total")]
    assert len(reasons) == 101
