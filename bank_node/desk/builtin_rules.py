"""The rules of a node whose bank has written none: for bands, and cautious.

A band means what the consortium agreed that it means; band 3 is the highest of the four that the
usual policy ``bands:0.2,0.5,0.8`` has.
"""

from alerts import parse_rules

__all__ = ["BUILTIN_RULES"]

BUILTIN_RULES = parse_rules(
    {
        "rule": [
            {
                "name": "high-and-round-trip",
                "severity": "critical",
                "needed": 2,
                "joint": [
                    {"analysis": "risk-propagation", "reached": 2},
                    {"analysis": "round-trip", "reached": 1},
                    {"analysis": "pagerank", "reached": 2},
                ],
                "reason": "{analysis} is {value} (before: {previous}), and a second joint"
                " analysis raised the account too",
            },
            {
                "name": "risk-high",
                "severity": "high",
                "joint": [{"analysis": "risk-propagation", "reached": 3}],
                "reason": "joint risk came to band {value} (before: {previous}) for {account}",
            },
            {
                "name": "risk-rose",
                "severity": "medium",
                "joint": [{"analysis": "risk-propagation", "reached": 2, "rise": 1}],
                "reason": "joint risk rose by {rise} to band {value} for {account}",
            },
            {
                "name": "exposure-rose",
                "severity": "medium",
                "joint": [{"analysis": "pagerank", "reached": 3, "rise": 1}],
                "reason": "exposure (PageRank) rose by {rise} to band {value} for {account}",
            },
            {
                "name": "money-came-back",
                "severity": "medium",
                "joint": [{"analysis": "round-trip", "reached": 2}],
                "reason": "much of what {account} paid came back through other banks"
                " (band {value}, before: {previous})",
            },
        ]
    }
)
"""Used when the file that ``rules`` under ``[alerts]`` names is not there."""
