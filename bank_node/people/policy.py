"""How people sign in: what the ``[web]`` section of ``node.toml`` says about it."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["SignInPolicy"]


class SignInPolicy(BaseModel):
    """Lock-out, and how long a session lasts.

    Attributes:
        failures: wrong passwords in a row after which a person is locked out.
        lock_minutes: for how long.
        idle_minutes: a browser's session ends when it is not used for so long.
        hours: a browser's session ends after this in any case.
        token_days: a program's token ends after this.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    failures: int = Field(5, ge=1, le=100)
    lock_minutes: int = Field(15, ge=1, le=1440)
    idle_minutes: int = Field(30, ge=1, le=1440)
    hours: int = Field(12, ge=1, le=168)
    token_days: int = Field(30, ge=1, le=366)
