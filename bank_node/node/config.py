"""The configuration of a node: ``node.toml`` in its folder.

Every setting has a default but the node's own name and role.  A setting may also come from the
environment (``UNDERCURRENT_NODE_STORE__URL``), which wins: a password then stands in no file.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from bank_node.intake.config import DataConfig
from bank_node.node.errors import ConfigurationError

__all__ = ["CONFIG_NAME", "NodeConfig", "default_folder", "read_config"]

CONFIG_NAME = "node.toml"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MemberSection(_Section):
    """``[node]``: who this node is.

    Attributes:
        id: id of this member, as in the agreement.
        role: bank (has accounts) or compute (neutral, without data).
        bic: business identifier code; may be empty for a compute party.
        consortium: name of the consortium, as in the certificates.
        host: name or address at which the other members' workers reach this one's.
        port: first port of the workers.
        port_count: number of ports; one for each run at a time, and some to spare.
        bind: address on which the workers listen.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$")
    role: Literal["bank", "compute"] = "bank"
    bic: str = ""
    consortium: str = Field(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$")
    host: str = "127.0.0.1"
    port: int = Field(9400, ge=1, le=65000)
    port_count: int = Field(4, ge=2, le=100)
    bind: str = "0.0.0.0"  # noqa: S104 - mutual TLS with pinned certificates listens there


class BrokerSection(_Section):
    """``[broker]``: the MQTT broker of the consortium.

    Attributes:
        url: mqtts://host:port, or mqtt://host:port on loopback.
        certificate: client certificate; empty: the node's own.
        private_key: its key; empty: the node's own.
        authority: authority of the broker's certificate; empty: the consortium's.
    """

    url: str = "mqtt://127.0.0.1:1883"
    certificate: Path | None = None
    private_key: Path | None = None
    authority: Path | None = None


class StoreSection(_Section):
    """``[store]``: the node's database.

    Attributes:
        url: sqlite:///node.db (in the node's folder), or postgresql+psycopg://user@host/name.
    """

    url: str = "sqlite:///node.db"


class PolicySection(_Section):
    """``[policy]``: what this node does with proposals, beyond what the agreement allows.

    Attributes:
        approve: analyses consented to without asking; "*": all that the agreement allows.
        refuse: analyses that are always refused.
        max_bits_per_run: refuse runs that could disclose more to any one bank; 0: no such bound.
    """

    approve: tuple[str, ...] = ("*",)
    refuse: tuple[str, ...] = ()
    max_bits_per_run: int = Field(0, ge=0)


class RunsSection(_Section):
    """``[runs]``: how joint runs are carried out.

    Attributes:
        at_once: runs computed at a time; the rest are queued.
        attempts: how often a run is started before it is given up.
        retry_after: seconds before the second attempt; doubled for each further one.
        start, silence, receive: deadlines of the workers in seconds (``graph_mpc.session``).
        keep_days: days after which closed runs and their results are removed; 0: never.
        enabled: whether computations are started; off: proposals are judged only.
    """

    at_once: int = Field(2, ge=1, le=16)
    attempts: int = Field(3, ge=1, le=10)
    retry_after: float = Field(5.0, gt=0)
    start: float = Field(60.0, gt=0)
    silence: float = Field(10.0, gt=0)
    receive: float = Field(600.0, gt=0)
    keep_days: int = Field(400, ge=0)
    enabled: bool = True


class HttpSection(_Section):
    """``[http]``: health and metrics, on loopback.

    Attributes:
        host: loopback address.
        port: 0: none.
    """

    host: str = "127.0.0.1"
    port: int = Field(9480, ge=0, le=65535)


class LogSection(_Section):
    """``[log]``: level (debug, info, warning, error) and format (json, console)."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class NodeConfig(BaseSettings):
    """All settings of a node; see the sections.

    Attributes:
        folder: the node's folder.
    """

    model_config = SettingsConfigDict(
        env_prefix="UNDERCURRENT_NODE_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    folder: Path
    node: MemberSection
    broker: BrokerSection = BrokerSection()
    store: StoreSection = StoreSection()
    data: DataConfig | None = None
    policy: PolicySection = PolicySection()
    runs: RunsSection = RunsSection()
    http: HttpSection = HttpSection()
    log: LogSection = LogSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, which is handed over as initial values."""
        return env_settings, init_settings

    @property
    def keys(self) -> Path:
        """Folder of the private keys and certificates."""
        return self.folder / "keys"

    @property
    def agreements(self) -> Path:
        """Folder of the installed agreements."""
        return self.folder / "agreements"

    @property
    def data_folder(self) -> Path:
        """Folder of the transactions that were taken in."""
        return self.folder / "data"

    @property
    def columns(self) -> Path:
        """Folder of the prepared columns."""
        return self.folder / "columns"

    @property
    def staging(self) -> Path:
        """Folder of what runs leave until it is stored."""
        return self.folder / "runs"

    @property
    def socket(self) -> Path:
        """The local control socket."""
        return self.folder / "node.sock"

    @property
    def store_url(self) -> str:
        """Database URL, a relative SQLite path taken from the node's folder."""
        prefix = "sqlite:///"
        path = self.store.url.removeprefix(prefix)
        if self.store.url.startswith(prefix) and path and not Path(path).is_absolute():
            return f"{prefix}{self.folder / path}"
        return self.store.url


def default_folder() -> Path:
    """Return the node's folder when none is named: UNDERCURRENT_NODE, or ``node`` here."""
    return Path(os.environ.get("UNDERCURRENT_NODE", "node"))


def read_config(folder: Path) -> NodeConfig:
    """Read ``node.toml`` of a node's folder.

    Raises:
        ConfigurationError: it is missing or wrong; names section and setting.
    """
    path = folder / CONFIG_NAME
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"{path}: {error.strerror}",
            "Name the node's folder with --node, or make one: undercurrent node init",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}", "Correct the TOML file") from error
    try:
        return NodeConfig(folder=folder.resolve(), **raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "top level"
        raise ConfigurationError(
            f"{path}: {where}: {first['msg']}", "Correct the setting; node init writes all of them"
        ) from None
