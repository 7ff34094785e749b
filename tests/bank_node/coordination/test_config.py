"""Where the broker is: what is refused before anything is dialled."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from bank_node.coordination import BrokerConfig, BrokerConfigError
from bank_node.coordination.link import Backoff
from graph_mpc.session.certificates import ThrowawayAuthority


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("mqtt://127.0.0.1:2000", "127.0.0.1", 2000),
        ("mqtt://localhost", "localhost", 1883),
        ("mqtt://[::1]:7", "::1", 7),
    ],
)
def test_an_address_is_read(url: str, host: str, port: int) -> None:
    """Host and port come from the url; the port may be left out."""
    config = BrokerConfig(url=url)
    assert (config.host, config.port, config.tls, config.tls_context()) == (host, port, False, None)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:1883",
        "http://127.0.0.1",
        "mqtt://",
        "mqtt://127.0.0.1:0",
        "mqtt://127.0.0.1:x",
        "mqtt://127.0.0.1:99999",
        "mqtt://me:secret@127.0.0.1",
        "mqtt://127.0.0.1/path",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """The error has a remedy and repeats no password."""
    with pytest.raises(BrokerConfigError, match="not mqtts://host:port") as caught:
        BrokerConfig(url=url)
    assert "secret" not in str(caught.value)


def test_an_unencrypted_broker_must_be_on_this_machine() -> None:
    """mqtt:// to another host is refused."""
    with pytest.raises(BrokerConfigError, match="not encrypted"):
        BrokerConfig(url="mqtt://192.0.2.1:1883")


def test_tls_needs_all_credentials(tmp_path: Path) -> None:
    """Certificate, key and authority belong together and must be usable."""
    paths = ThrowawayAuthority("nordic").issue("bank-a", tmp_path)
    given = {"certificate": paths.certificate, "authority": paths.authority}
    with pytest.raises(BrokerConfigError, match="needs certificate"):
        BrokerConfig(url="mqtts://broker", **given)
    good = BrokerConfig(url="mqtts://broker", private_key=paths.private_key, **given)
    assert (good.port, good.tls_context() is not None) == (8883, True)
    for name in ("certificate", "private_key", "authority"):
        for wrong in (tmp_path / "missing", paths.private_key.with_suffix(".bad")):
            paths.private_key.with_suffix(".bad").write_text("not a key")
            config = good.model_copy(update={name: wrong})
            with pytest.raises(BrokerConfigError, match="cannot be used"):
                config.tls_context()


def test_an_unknown_setting_is_refused() -> None:
    """A misspelt setting is an error."""
    with pytest.raises(ValidationError):
        BrokerConfig(url="mqtt://127.0.0.1", keepalives=3)  # type: ignore[call-arg]


def test_back_off_doubles_to_thirty_seconds_and_starts_again() -> None:
    """Waits grow from half a second to half a minute, and begin anew after a steady connection."""
    backoff = Backoff()
    waits = [backoff.after(0) for _ in range(12)]
    for number, wait in enumerate(waits[:6]):
        assert 0.375 * 2**number <= wait <= 0.625 * 2**number
    assert all(22 <= wait <= 30 for wait in waits[7:])
    assert backoff.after(60) < 1
