"""The secure engine: knows parties, shares and private linear maps; knows no bank and no money.

What an analysis and its callers need stands here; the steps are in modules of their own, from the
bottom up:

- ``ring``, ``labels``, ``streams``, ``network``, ``shares``: values, masks, messages;
- ``permutation``, ``scaling``, ``truncation``, ``product``, ``binary``, ``floor``, ``threshold``,
  ``sums``: steps on shared values;
- ``policy``, ``release``: what an owner may learn of a result, and how it does;
- ``layout``, ``linear_map``, ``imports``, ``steps``, ``push``, ``pull``, ``placement``: private
  maps;
- ``flow``, ``flow_preparation``, ``flow_store``, ``absorption``: flows over time;
- ``window``, ``reconcile``, ``boundary``, ``padding``, ``sizes``, ``precision``, ``rounding``,
  ``scalars``, ``parameters``: the set-up of a run;
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
from graph_mpc.policy import EXACT, Policy, parse_policy
from graph_mpc.program import Analysis, Outcome, OwnerInput
from graph_mpc.release import Released
from graph_mpc.roster import Roster
from graph_mpc.scalars import JointScalars, MpycScalars
from graph_mpc.streams import SeededStreams
from graph_mpc.window import WHOLE, Window

__all__ = [
    "EXACT",
    "OUTSIDE",
    "WHOLE",
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
    "Policy",
    "Released",
    "Roster",
    "SeededStreams",
    "ShapeMismatch",
    "TooFewParties",
    "Transport",
    "Window",
    "parse_policy",
]
