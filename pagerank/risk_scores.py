"""The banks' own risk scores as input: checked before they are used."""

import numpy as np
from numpy.typing import NDArray

from graph_mpc.errors import ParameterError
from graph_mpc.program import OwnerInput

__all__ = ["checked_risk"]


def checked_risk(own: OwnerInput) -> NDArray[np.float64]:
    """Return the risk scores; refuse what would break the bound of the values."""
    risk = own.vertex["risk_score"]
    if not bool(np.all((risk >= 0) & (risk <= 1))):
        raise ParameterError(
            "a risk score is not a number from 0 to 1", "correct the accounts' risk_score column"
        )
    return risk
