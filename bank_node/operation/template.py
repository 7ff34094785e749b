"""The text of ``node.toml``: every setting with a word on it, and its default if it has one.

A setting that is commented out has the value that stands there, or none.  ``# `` before a line is a
word on what follows; ``#`` without a blank is a setting that is not set.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal

from bank_node.operation.errors import AnswerError

__all__ = ["Answers", "SourceAnswers", "node_toml"]


@dataclass(frozen=True)
class SourceAnswers:
    """Where a bank's transactions come from.

    Attributes:
        kind: csv, parquet or postgresql.
        folder: of the files.
        dsn_file: file with the connection string of PostgreSQL.
        transactions, accounts: patterns of file names, or tables or queries; empty: the usual.
        watermark: column of PostgreSQL's transactions that only grows; empty: none.
    """

    kind: Literal["csv", "parquet", "postgresql"]
    folder: Path | None = None
    dsn_file: Path | None = None
    transactions: str = ""
    accounts: str = ""
    watermark: str = ""


@dataclass(frozen=True)
class Answers:
    """What only the operator of a node knows; all else has a default."""

    id: str
    consortium: str
    role: Literal["bank", "compute"] = "bank"
    bic: str = ""
    host: str = "127.0.0.1"
    port: int = 9400
    broker: str = "mqtt://127.0.0.1:1883"
    store: str = "sqlite:///node.db"
    source: SourceAnswers | None = None
    currency: str = "EUR"
    retention: int = 400
    http_port: int = 9480
    web_port: int = 9481


_TEXT = Template("""\
# Settings of an Undercurrent node.  `undercurrent doctor` says whether they are right; the node
# reads them when it starts.  Each can be given in the environment instead, where it wins:
# UNDERCURRENT_NODE_STORE__URL for url under [store].  Keep passwords there.

[node]
# Id of this member, as in the agreement.
id = $id
# bank (has accounts) or compute (neutral, without data).  Default: bank
role = $role
# Business identifier code; empty for a compute party without one.
bic = $bic
# Name of the consortium, as in the certificates.
consortium = $consortium
# Name or address at which the other members' workers reach this one's.  Default: 127.0.0.1
host = $host
# First port of the workers, and how many: one for each run at a time, and some to spare.
# Default: 9400, 4
port = $port
port_count = 4
# Address on which the workers listen.  Default: 0.0.0.0, every interface
bind = "0.0.0.0"

[broker]
# The consortium's MQTT broker: mqtts://host:port, or mqtt://host:port on this machine only.
url = $broker
# Certificate and key that this node shows it.  Default: the node's own, in keys/
#certificate = "/path/to/client.crt"
#private_key = "/path/to/client.pem"
# Authority of the broker's certificate.  Default: the consortium's
#authority = "/path/to/authority.crt"

[store]
# The node's database: sqlite:///node.db in this folder, or postgresql+psycopg://user@host/name.
# Default: sqlite:///node.db
url = $store

$data
[policy]
# Analyses consented to without asking a person; "*": all that the agreement allows.  Default: ["*"]
approve = ["*"]
# Analyses that are always refused.  Default: none
refuse = []
# Refuse runs that could disclose more bits than this to any one bank; 0: no such bound.  Default: 0
max_bits_per_run = 0

[runs]
# Runs computed at a time; the rest wait.  Default: 2
at_once = 2
# How often a run is started before it is given up.  Default: 3
attempts = 3
# Seconds before the second attempt; doubled for each further one.  Default: 5
retry_after = 5.0
# Seconds after which the workers give up: until all are connected, without a sign of life, and
# for each message.  Defaults: 60, 10, 600
start = 60.0
silence = 10.0
receive = 600.0
# Days after which closed runs and their results are removed; 0: never.  Default: 400
keep_days = 400
# Whether computations are started; false: proposals are judged only.  Default: true
enabled = true

[http]
# Health and metrics, on a loopback address; port 0: none.  Defaults: 127.0.0.1, 9480
host = "127.0.0.1"
port = $http_port

[web]
# The application and the API for the bank's own people; port 0: none.  Defaults: 127.0.0.1, 9481
host = "127.0.0.1"
port = $web_port
# HTTPS certificate and key; without them only this machine, or a proxy of the bank's, is served.
#certificate = "/path/to/desk.crt"
#private_key = "/path/to/desk.pem"
# Whether a proxy of the bank's speaks HTTPS and hands requests on.  Default: false
behind_proxy = false
# How browsers call the application, such as "https://desk.bank.example".  Default: as they say
origin = ""
# Header with the name of a user whom the proxy has signed in, and the addresses from which it is
# believed.  Defaults: none, ["127.0.0.1"]
proxy_header = ""
trusted_proxies = ["127.0.0.1"]
# Language of the pages (en, nl), and locale of dates and amounts.  Defaults: en, en_GB
language = "en"
locale = "en_GB"

[web.sign_in]
# Wrong passwords in a row after which a person is locked out, and for how long.  Defaults: 5, 15
failures = 5
lock_minutes = 15
# A browser's session ends when it is idle for so long, and after so many hours in any case.
# Defaults: 30, 12
idle_minutes = 30
hours = 12
# Days after which a program's token ends.  Default: 30
token_days = 30

[alerts]
# Whether alerts are raised from results, and by which rules (a file in this folder; if it is not
# there, the rules that come with the program).  Defaults: true, rules.toml
enabled = true
rules = "rules.toml"
# Folder with a goAML profile <COUNTRY>.toml for each country, and the usual country.
# Defaults: profiles, none
profiles = "profiles"
country = ""
# Alerts from this severity on become cases by themselves: low, medium, high, critical or none.
# Default: high
open_cases = "high"
# load: new cases go to whoever has the fewest; none: people take them.  Default: none
assign = "none"
# A rule on several analyses uses results that are at most so many days old.  Default: 7
combine_days = 7
# Days of own payments kept in memory to explain alerts.  Default: 100
payment_days = 100

[alerts.feedback]
# Whether outcomes of cases become risk scores of own accounts in later runs, which score, and for
# how many days after closing.  Defaults: false, 0.8, 1.0, 730
enabled = false
confirmed = 0.8
reported = 1.0
days = 730

[log]
# debug, info, warning or error.  Default: info
level = "info"
# json (a line for each event) or console (for a terminal).  Default: json
format = "json"
""")

_DATA = Template("""\
[data]
# Where the transactions come from: csv, parquet or postgresql.
source = $source
# Folder of the files (csv, parquet).
$folder
# Pattern of the files' names; or, of PostgreSQL, a table or a query.
# Defaults: transactions*.csv and accounts*.csv (or .parquet), tables transactions and accounts.
# Of several files of accounts the last by name counts: each is a full snapshot.
transactions = $transactions
accounts = $accounts
# File (mode 0600) with the connection string of PostgreSQL, or an environment variable with it.
$dsn_file
#dsn_env = "UNDERCURRENT_SOURCE"
# Column of PostgreSQL's transactions that only grows; only rows from its last value on are read.
# Default: none, all rows every time
$watermark
# How far behind the last value reading starts again, for rows that were committed late: of a column
# of times, and of a column of numbers.  Defaults: 1h, 10000
overlap = "1h"
overlap_number = 10000
# Currency of all amounts inside.  Default: EUR
base_currency = $currency
# File with units of the base currency for one unit of each other one: CSV (currency,rate) or TOML.
# Default: none; a payment in a currency without a rate is rejected.  [data.rates] is another way.
#rates_file = "/path/to/rates.csv"
# Payments older than this many days are not kept; 0: no limit.  Default: 400
retention_days = $retention
# How often the node takes in: a number and s, m, h or d.  Default: 15m
every = "15m"
# Memory for taking in, in MiB, and threads; 0: one for each core.  Defaults: 1024, 0
memory_mb = 1024
threads = 0
# What the source calls a column, where it has a name of its own: ours = theirs.
#columns = {tx_id = "payment_reference"}
# Rates instead of a file: USD = 0.92 says that one US dollar is 0.92 of the base currency.
#rates = {USD = 0.92}

""")

_NO_DATA = """\
# [data]: where the transactions come from.  A compute party has none; a bank without it can take
# part in nothing but rehearsals.

"""


def node_toml(answers: Answers) -> str:
    """Return the text of ``node.toml`` for the answers."""
    data = _NO_DATA if answers.source is None else _data(answers, answers.source)
    values = {
        "id": answers.id,
        "role": answers.role,
        "bic": answers.bic,
        "consortium": answers.consortium,
        "host": answers.host,
        "port": answers.port,
        "broker": answers.broker,
        "store": answers.store,
        "http_port": answers.http_port,
        "web_port": answers.web_port,
    }
    return _TEXT.substitute({name: _value(value) for name, value in values.items()}, data=data)


def _data(answers: Answers, source: SourceAnswers) -> str:
    suffix = "" if source.kind == "postgresql" else f"*.{source.kind}"
    return _DATA.substitute(
        source=_value(source.kind),
        folder=_line("folder", source.folder, "/path/to/folder"),
        dsn_file=_line("dsn_file", source.dsn_file, "/path/to/dsn"),
        transactions=_value(source.transactions or f"transactions{suffix}"),
        accounts=_value(source.accounts or f"accounts{suffix}"),
        watermark=_line("watermark", source.watermark or None, "booked_at"),
        currency=_value(answers.currency),
        retention=_value(answers.retention),
    )


def _line(name: str, value: object | None, example: str) -> str:
    """Return a setting's line; commented out, with an example, if it is not set."""
    if value is None:
        return f"#{name} = {_value(example)}"
    return f"{name} = {_value(value if isinstance(value, int) else str(value))}"


def _value(value: object) -> str:
    """Return a value as TOML: strings of JSON are strings of TOML."""
    if isinstance(value, str) and not value.isprintable():
        raise AnswerError("An answer holds a character that cannot be shown", "Type it again")
    return json.dumps(value, ensure_ascii=False)
