"""The parts of the session that need no other party."""

from __future__ import annotations

import asyncio
import dataclasses
import pickle
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509

import graph_mpc.session as package
from graph_mpc.session import (
    ConfigError,
    FrameLengthError,
    Limits,
    Member,
    PeerAborted,
    PeerLost,
    PeerProtocol,
    SessionError,
    ThrowawayAuthority,
    TooFewParties,
    errors,
)
from graph_mpc.session.codec import NotPlainError, decode, encode
from graph_mpc.session.frames import (
    Header,
    Kind,
    MalformedError,
    pack_abort,
    pack_header,
    unpack_abort,
    unpack_header,
)
from graph_mpc.session.hello import derive_seed
from graph_mpc.session.inbox import ClosedError, Inbox

from .lab import ROOT, Lab
from .party import make_config
from .rogue import WritesFile

pytestmark = pytest.mark.timeout(20)


def test_the_public_face_is_what_all_says() -> None:
    """Every exported name exists, and every error class is exported."""
    assert sorted(package.__all__, key=str.lower) == sorted(set(package.__all__), key=str.lower)
    assert all(hasattr(package, name) for name in package.__all__)
    classes = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert classes <= set(package.__all__)


def test_each_error_has_its_own_code_and_one_line() -> None:
    """Codes are unique, drawn in the docstring, and str() is one line with code and remedy."""
    kinds = [v for v in vars(errors).values() if isinstance(v, type)]
    assert len({kind.code for kind in kinds}) == len(kinds) - 1  # PeerError is abstract.
    for kind in kinds:
        error = kind("one\ntwo", peer="bank-a")
        assert "\n" not in str(error)
        assert error.code in str(error)
        assert kind in (SessionError, errors.PeerError) or error.code in (errors.__doc__ or "")


def test_a_reported_failure_names_the_culprit() -> None:
    """What a peer reports becomes the same class of error as seeing it, naming the same party."""
    seen = errors.reported_failure("bank-b", "bank-c", "session.peer-lost", "bank-a")
    assert isinstance(seen, PeerLost)
    assert (seen.peer, seen.reporter) == ("bank-c", "bank-b")
    own = errors.reported_failure("bank-b", "bank-b", "user-request", "bank-a")
    assert isinstance(own, PeerAborted)
    assert (own.peer, own.word) == ("bank-b", "user-request")
    passed_on = errors.reported_failure("bank-c", "bank-c", "session.peer-lost", "bank-a")
    assert isinstance(passed_on, PeerLost)
    me = errors.reported_failure("bank-b", "bank-a", "session.peer-lost", "bank-a")
    assert isinstance(me, PeerAborted)
    assert me.peer == "bank-a"


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"members": (Member("a", "h", 1), Member("b", "h", 2))}, TooFewParties, "no privacy"),
        ({"members": tuple(Member("a", "h", p) for p in (1, 2, 3))}, ConfigError, "same id"),
        ({"members": tuple(Member(i, "h", 1) for i in "abc")}, ConfigError, "same address"),
        ({"members": tuple(Member(i, "h", 0) for i in "abc")}, ConfigError, "port"),
        ({"me": 3}, ConfigError, "not one of the members"),
        ({"run_id": "a b"}, ConfigError, "run id"),
        ({"consortium": ""}, ConfigError, "consortium"),
        ({"certificate": Path("missing.crt")}, ConfigError, "missing.crt"),
        ({"limits": Limits(early=1)}, ConfigError, "early"),
        ({"deadlines": package.Deadlines(silence=1, heartbeat=1)}, ConfigError, "heartbeats"),
        ({"deadlines": package.Deadlines(start=0)}, ConfigError, "start"),
    ],
)
def test_a_wrong_configuration_is_refused(
    lab: Lab, change: dict[str, Any], error: type[SessionError], text: str
) -> None:
    """What cannot work is refused when the configuration is made, with its cause."""
    config = make_config(lab.settings(0, ""))
    with pytest.raises(error, match=text):
        dataclasses.replace(config, **change)


def test_a_certificate_names_one_party_and_its_key_is_private(tmp_path: Path) -> None:
    """One URI, one day, key readable by its owner only."""
    credentials = ThrowawayAuthority("testers").issue("bank-a", tmp_path)
    certificate = x509.load_pem_x509_certificate(credentials.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == ["urn:undercurrent:testers:party:bank-a"]
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lifetime.total_seconds() < 90_000
    assert stat.S_IMODE(credentials.private_key.stat().st_mode) == 0o600


def test_a_seed_depends_on_run_and_both_contributions() -> None:
    """Both ends derive the same seed; any other run or contribution gives another."""
    a, b = ("bank-a", bytes(32)), ("bank-b", b"\1" * 32)
    seed = derive_seed("run", a, b)
    assert seed == derive_seed("run", b, a)
    others = {
        derive_seed("run2", a, b),
        derive_seed("run", a, ("bank-b", b"\2" * 32)),
        derive_seed("run", ("bank-a", b"\2" * 32), b),
        derive_seed("run", ("bank-c", bytes(32)), b),
    }
    assert len(others | {seed}) == 5


@pytest.mark.parametrize(
    "value", [None, True, -1, 2**64, -(2**200), 1.5, "ä", b"\0", [1, [2]], {"a": 1, 2: [None]}, []]
)
def test_plain_data_survives(value: Any) -> None:
    """What is sent arrives."""
    assert decode(encode(value)) == value


def test_other_data_is_refused_in_both_directions(tmp_path: Path) -> None:
    """Objects are not encoded; pickles, junk, deep nesting and foreign extensions not decoded."""
    trace = tmp_path / "executed"
    with pytest.raises(TypeError):
        encode(WritesFile(trace))
    for data in (pickle.dumps(WritesFile(trace)), b"", b"\xc1", b"\x91" * 5000, b"\xd4\x05\x00"):
        with pytest.raises(NotPlainError):
            decode(data)
    assert not trace.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"\x09" + bytes(16),
        pack_header(Kind.HEARTBEAT, 0, 1),
        pack_header(Kind.BYE, 1, 0),
        pack_header(Kind.ABORT, 0, 513),
    ],
)
def test_malformed_headers_are_refused(data: bytes) -> None:
    """Unknown kinds, and control frames with content, do not pass."""
    with pytest.raises(MalformedError):
        unpack_header(data)


def test_an_abort_carries_an_id_and_a_word_only() -> None:
    """Free text cannot be sent, nor be received."""
    frame = pack_abort("bank-a", "user-request")
    assert unpack_abort(frame[17:]) == ("bank-a", "user-request")
    with pytest.raises(ValueError, match="word"):
        pack_abort("bank-a", "account 4711!")
    for payload in (b"", b"\x92\xa1a\xa3X Y", b"\x91\xa1a", b"\x92\x01\x02"):
        with pytest.raises(MalformedError):
            unpack_abort(payload)


async def test_a_held_back_reader_goes_on_when_its_message_is_awaited() -> None:
    """The early budget stops what nobody awaits, not what somebody does."""
    inbox = Inbox("bank-b", Limits(message=100, mpyc=100, early=400), 5.0, asyncio.get_event_loop())
    first, second = Header(Kind.DATA_ENGINE, 1, 100), Header(Kind.DATA_ENGINE, 2, 100)
    inbox.deliver(first, np.zeros(100, np.uint8), inbox.admit(first))
    took: list[bool] = []
    reader = threading.Thread(target=lambda: took.append(inbox.admit(second)))
    reader.start()
    await asyncio.sleep(0.05)
    assert took == []
    future = inbox.post(Kind.DATA_ENGINE, 2, 100)
    await asyncio.sleep(0.05)
    reader.join(1)
    assert took == [False]
    inbox.deliver(second, np.ones(100, np.uint8), False)
    assert (await future).sum() == 100
    assert inbox.unread == 1


async def test_an_inbox_refuses_what_the_protocol_does_not_allow() -> None:
    """Too long, another length, twice, after the end: each names the peer; closing is silent."""
    inbox = Inbox("bank-b", Limits(message=100, mpyc=10), 0.05, asyncio.get_event_loop())
    for header in (Header(Kind.DATA_ENGINE, 1, 101), Header(Kind.DATA_MPYC, 1, 11)):
        with pytest.raises(FrameLengthError):
            inbox.admit(header)
    waiting = inbox.post(Kind.DATA_ENGINE, 2, 8)
    with pytest.raises(FrameLengthError):
        inbox.admit(Header(Kind.DATA_ENGINE, 2, 9))
    with pytest.raises(PeerProtocol, match="twice"):
        inbox.admit(Header(Kind.DATA_ENGINE, 2, 8))
    with pytest.raises(PeerProtocol, match="finished"):
        inbox.end()
    inbox.fail(PeerLost("gone", peer="bank-b"))
    with pytest.raises(PeerLost):
        await waiting
    with pytest.raises(PeerProtocol, match="finished"):
        inbox.post(Kind.DATA_ENGINE, 3, 8)
    inbox.close()
    with pytest.raises(ClosedError):
        inbox.admit(Header(Kind.DATA_ENGINE, 4, 8))


_IMPORT = """
import sys, logging, os
sys.argv = ["worker", "-M", "3", "--help", "-V"]
os.environ["MPYC_NOPRSS"] = "1"
import graph_mpc.session
assert sys.argv == ["worker", "-M", "3", "--help", "-V"]
assert logging.getLogger().handlers == []
import asyncio
from mpyc.runtime import mpc
from graph_mpc.session import Member, SessionReused
from graph_mpc.session.runtime import HardenedRuntime, install
async def main():
    members = tuple(Member(i, "127.0.0.1", 1) for i in "abc")
    assert install(1, members) is mpc and isinstance(mpc, HardenedRuntime)
    assert (mpc.pid, len(mpc.parties), mpc.threshold, mpc.options.no_prss) == (1, 3, 1, False)
    try:
        install(1, members)
    except SessionReused:
        pass
    else:
        raise SystemExit("a second runtime was made")
    import mpyc.runtime
    for name in ("dumps", "loads"):
        try:
            getattr(mpyc.runtime.pickle, name)(b"")
        except TypeError:
            continue
        raise SystemExit("pickle can be used")
    try:
        await mpc.start()
    except SessionReused:
        return
    raise SystemExit("a runtime started outside a session")
asyncio.run(main())
"""


def test_importing_has_no_side_effects_and_pickle_is_unusable() -> None:
    """Nothing is printed, no argument read, no log handler set; one runtime; no pickle in it."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_module_of_the_session_imports_pickle() -> None:
    """Not even by way of another name."""
    for path in Path(package.__path__[0]).glob("*.py"):
        lines = path.read_text().splitlines()
        imports = [line for line in lines if line.lstrip().startswith(("import ", "from "))]
        assert not any("pickle" in line or "marshal" in line for line in imports), path.name
