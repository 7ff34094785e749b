"""What a worker is told: the public manifest of a joint run, and what is only for this party.

The manifest is the same at every party and holds public parameters only.  The rest of a job (data
folder, credentials, private inputs) reaches the worker on its standard input, never on a command
line.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "CredentialPaths",
    "DataSource",
    "Deadlines",
    "Job",
    "Manifest",
    "MemberEntry",
    "Rehearsal",
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MemberEntry(_Strict):
    """A party of the run, where its worker listens, and the fingerprint of its certificate."""

    id: str
    role: Literal["bank", "compute"]
    host: str
    port: int
    certificate: str = ""


class Deadlines(_Strict):
    """Seconds after which a worker gives a peer up; see ``graph_mpc.session``."""

    start: float = Field(60.0, gt=0)
    silence: float = Field(10.0, gt=0)
    receive: float = Field(600.0, gt=0)


class Manifest(_Strict):
    """What all parties agree on.

    Attributes:
        run_id: unique name of the run.
        consortium: name that stands in the certificates.
        analysis: name of the analysis.
        version: version of the analysis.
        parameters: public parameters, as text.
        policy: output policy.
        prepare_runs: for how many later runs columns are prepared instead of a result; 0: none.
        use_prepared: whether the run uses columns that were prepared earlier.
        members: all parties, in the order of their numbers.
    """

    run_id: str
    consortium: str
    analysis: str
    version: str
    parameters: dict[str, str]
    policy: str = "exact"
    prepare_runs: int = Field(0, ge=0)
    use_prepared: bool = False
    members: list[MemberEntry]


class CredentialPaths(_Strict):
    """Files of this party's certificate and key, and of the authority it trusts."""

    certificate: Path
    private_key: Path
    authority: Path


class Rehearsal(_Strict):
    """Synthetic data that every node makes for itself, to try a consortium before real data.

    Attributes:
        seed: public: the same at all nodes.
        since, until: microseconds between which the payments lie.
    """

    seed: str
    since: int
    until: int


class DataSource(_Strict):
    """This bank's own data: the only folder that the worker reads.

    Attributes:
        folder: a bank's folder of a data set, or the folder into which a node takes payments in.
        base_currency: currency of all amounts.
        rates: units of the base currency for one unit of each other one; of a data set.
        files: day files that the node's database lists; None: the folder is a data set's.
        rehearsal: made-up data instead.
        outcomes: Parquet file (account, risk_score) of closed cases; risk is raised to these.
    """

    folder: Path
    base_currency: str | None = None
    rates: dict[str, float] = Field(default_factory=dict)
    files: list[str] | None = None
    rehearsal: Rehearsal | None = None
    outcomes: Path | None = None


class Job(_Strict):
    """Everything that one worker needs.

    Attributes:
        manifest: the agreed run.
        party: id of this party.
        credentials: its certificate and key.
        bind: address to listen on.
        listen_fd: an already bound socket to listen on instead.
        deadlines: when to give up.
        data: the bank's data; None for a compute party.
        private: private inputs of this bank.
        columns: folder of this party's prepared columns, to be filled or used.
        out: folder for the results; made if it is not there.
        lifeline: whether the worker ends when its standard input is closed.
    """

    manifest: Manifest
    party: str
    credentials: CredentialPaths
    bind: str = "127.0.0.1"
    listen_fd: int | None = None
    deadlines: Deadlines = Deadlines()
    data: DataSource | None = None
    private: dict[str, Any] = Field(default_factory=dict)
    columns: Path | None = None
    out: Path
    lifeline: bool = False
