"""The configuration of a node: ``node.toml`` in its folder.

Every setting has a default but the node's own name and role.  A setting may also come from the
environment (``UNDERCURRENT_NODE_STORE__URL``), which wins: a password then stands in no file.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from alerts import Feedback
from bank_node.intake.config import DataConfig
from bank_node.node.errors import ConfigurationError
from bank_node.people.policy import SignInPolicy

__all__ = ["CONFIG_NAME", "NodeConfig", "default_folder", "read_config"]

CONFIG_NAME = "node.toml"
_LOCALE = "en_GB"


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


class WebSection(_Section):
    """``[web]``: the application and the API for the bank's own people.

    Attributes:
        host, port: where they are served; port 0: nowhere.
        certificate, private_key: PEM files for HTTPS, taken from the node's folder; without them
            only a loopback address can be served, or one behind a proxy.
        behind_proxy: whether a proxy of the bank's own speaks HTTPS and hands requests on.
        origin: how browsers call the application, as ``https://desk.bank.example``; empty: as the
            request says.
        proxy_header: header with the name of a user whom the proxy has signed in; empty: none.
        trusted_proxies: addresses from which that header is believed.
        language: of the pages; locale: of dates and amounts, as ``en_GB``.
        sign_in: lock-out and how long a session lasts.
    """

    host: str = "127.0.0.1"
    port: int = Field(9481, ge=0, le=65535)
    certificate: Path | None = None
    private_key: Path | None = None
    behind_proxy: bool = False
    origin: str = ""
    proxy_header: str = ""
    trusted_proxies: tuple[str, ...] = ("127.0.0.1",)
    language: str = Field("en", pattern=r"^[a-z]{2}$")
    locale: str = Field(_LOCALE, pattern=r"^[a-z]{2,3}(?:_[A-Z]{2})?$")
    sign_in: SignInPolicy = SignInPolicy()

    @field_validator("locale")
    @classmethod
    def _known_locale(cls, value: str) -> str:
        """Refuse a language and country that nobody has written down how to write dates for."""
        if value != _LOCALE:
            # Only who changes the setting waits for Babel; most commands show no page.
            from babel import Locale, UnknownLocaleError

            try:
                Locale.parse(value)
            except UnknownLocaleError:
                raise ValueError(
                    "there is no such locale; name a language with a country where it is spoken, "
                    f"as {_LOCALE} or nl_NL, or the language alone"
                ) from None
        return value


class AlertsSection(_Section):
    """``[alerts]``: from results to alerts and cases.

    Attributes:
        enabled: whether the node raises alerts from results.
        rules: TOML file of the rules, taken from the node's folder; if it is not there, the rules
            that come with the program.
        profiles: folder with a goAML profile ``<COUNTRY>.toml`` for each country.
        country: whose profile a draft report uses unless another is named.
        open_cases: alerts from this severity on become cases by themselves; none: people open them.
        assign: ``load``: new cases go to whoever has the fewest; ``none``: people take them.
        combine_days: a rule on several analyses uses results that are at most so many days old.
        payment_days: so many days of own payments are kept at hand to explain alerts.
        feedback: outcomes of cases as risk scores for later runs.
    """

    enabled: bool = True
    rules: Path = Path("rules.toml")
    profiles: Path = Path("profiles")
    country: str = Field("", pattern=r"^(?:[A-Z]{2})?$")
    open_cases: Literal["none", "low", "medium", "high", "critical"] = "high"
    assign: Literal["none", "load"] = "none"
    combine_days: int = Field(7, ge=1, le=366)
    payment_days: int = Field(100, ge=1, le=3660)
    feedback: Feedback = Feedback()


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
    web: WebSection = WebSection()
    alerts: AlertsSection = AlertsSection()
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

    def beside(self, path: Path) -> Path:
        """Return a path of the configuration, a relative one taken from the node's folder."""
        return path if path.is_absolute() else self.folder / path

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
