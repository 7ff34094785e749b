"""Outcomes of cases as risk scores of own accounts for later runs, where the bank chooses so.

The table has the columns of the bank's own ``risk_score`` input.  An account gets the score of the
gravest outcome of its closed cases that are young enough; a case that was reopened counts no more.
False alarms give nothing: they must not hide what else the bank knows about an account.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts.states import State
from alerts.tables import Alert, AlertAccount, Case

__all__ = ["Feedback", "merged_risk", "outcome_risk"]

_DAY = 86_400_000_000


class Feedback(BaseModel):
    """Whether and how outcomes become risk scores.

    Attributes:
        enabled: off unless the bank turns it on.
        confirmed, reported: score of the accounts of such a case, 0 to 1.
        days: for how long after its closing a case counts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    confirmed: float = Field(0.8, ge=0, le=1)
    reported: float = Field(1.0, ge=0, le=1)
    days: int = Field(730, ge=1, le=3650)


def outcome_risk(session: Session, feedback: Feedback, *, now: int) -> pa.Table:
    """Return ``account``, ``risk_score`` of closed cases, sorted by account; empty if disabled."""
    scores = {State.CONFIRMED: feedback.confirmed, State.REPORTED: feedback.reported}
    query = (
        select(AlertAccount.account, Case.state)
        .join(Alert, AlertAccount.alert_id == Alert.id)
        .join(Case, Alert.case_id == Case.id)
        .where(Case.state.in_(list(scores)), Case.closed_at > now - feedback.days * _DAY)
        .distinct()
    )
    gravest: dict[str, float] = {}
    for account, state in session.execute(query) if feedback.enabled else ():
        gravest[account] = max(gravest.get(account, 0.0), scores[State(state)])
    names = sorted(gravest)
    return pa.table(
        {
            "account": pa.array(names, pa.string()),
            "risk_score": pa.array([gravest[name] for name in names], pa.float64()),
        }
    )


def merged_risk(
    accounts: pa.Array, risk: NDArray[np.float64], outcomes: pa.Table
) -> NDArray[np.float64]:
    """Return the own risk scores (n,) raised to those of the outcomes, never lowered."""
    where = pc.index_in(accounts.cast(pa.string()), value_set=outcomes["account"].combine_chunks())
    index = pc.fill_null(where, -1).to_numpy(zero_copy_only=False)
    scores = np.append(outcomes["risk_score"].to_numpy(), 0.0)  # the last one is for no outcome
    merged: NDArray[np.float64] = np.maximum(risk, scores[index])
    return merged
