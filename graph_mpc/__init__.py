"""The secure engine: knows parties, shares and private linear maps; knows no bank and no money.

What an analysis and its callers need stands here; the steps are in modules of their own, from the
bottom up:

- ``ring``, ``labels``, ``streams``, ``network``, ``shares``: values, masks, messages;
- ``permutation``, ``scaling``, ``truncation``, ``product``, ``binary``, ``floor``, ``sums``: steps
  on shared values;
- ``layout``, ``linear_map``, ``imports``, ``steps``, ``push``, ``pull``, ``placement``: private
  maps;
- ``reconcile``, ``boundary``, ``padding``, ``precision``, ``scalars``: the set-up of a run;
- ``session``: the hardened MPyC session that carries the messages.
"""

from graph_mpc.context import Context
from graph_mpc.errors import (
    EngineError,
    LabelReused,
    MaskRuleViolation,
    Overflow,
    ParameterError,
    ShapeMismatch,
    TooFewParties,
)
from graph_mpc.graph import OUTSIDE, LocalGraph
from graph_mpc.network import Network, Transport
from graph_mpc.program import Analysis, Outcome, OwnerInput
from graph_mpc.roster import Roster
from graph_mpc.scalars import JointScalars, MpycScalars
from graph_mpc.streams import SeededStreams

__all__ = [
    "OUTSIDE",
    "Analysis",
    "Context",
    "EngineError",
    "JointScalars",
    "LabelReused",
    "LocalGraph",
    "MaskRuleViolation",
    "MpycScalars",
    "Network",
    "Outcome",
    "Overflow",
    "OwnerInput",
    "ParameterError",
    "Roster",
    "SeededStreams",
    "ShapeMismatch",
    "TooFewParties",
    "Transport",
]
