"""Flow tracing and round trips on the secure engine, beside their plaintext reference.

``walk`` is the secure core, one hop after the other over ``graph_mpc.flow``; ``secure`` and
``round_trip`` ask its questions; ``fresh`` and ``stored`` say where prepared hops come from;
``flows`` turns a bank's payments into the shares that its accounts pass on.
"""

from flow_tracing.analysis import ROUND_TRIP, TRACE, RoundTrip, Trace
from flow_tracing.parameters import RoundTripParameters, TraceParameters
from flow_tracing.reference import PooledFlows, plain_round_trip, plain_trace
from flow_tracing.round_trip import secure_round_trip
from flow_tracing.secure import secure_trace

__all__ = [
    "ROUND_TRIP",
    "TRACE",
    "PooledFlows",
    "RoundTrip",
    "RoundTripParameters",
    "Trace",
    "TraceParameters",
    "plain_round_trip",
    "plain_trace",
    "secure_round_trip",
    "secure_trace",
]
