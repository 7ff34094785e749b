"""Setting a node up, watching it, and saving it; the daemon itself is in ``bank_node.node``.

``node_folder`` makes a node's folder; ``doctor`` looks for what is wrong with it and says what to
do; ``logs`` writes what happens without personal data; ``http`` and ``metrics`` tell health on
loopback; ``backup`` saves and ``restore`` puts back; ``rehearsal`` makes a small world in which a
run can be tried.

Nothing is imported here: a worker needs the last of them only, and should not load the rest.
"""

__all__: list[str] = []
