"""The words of a draft agreement: comments for those who sign it, around the values."""

__all__ = [
    "ANALYSES",
    "ANALYSES_HINT",
    "BUDGETS",
    "HEAD",
    "MARK",
    "SCHEDULES",
    "TRANSITION",
]

HEAD = """\
# AGREEMENT OF A CONSORTIUM
#
# What the members compute together, how often, within which bounds, and how much each may learn.
# Every member signs the values in this file; its node then carries out what is agreed here and
# refuses everything else. Comments (after #), blank lines and the order of the settings may be
# changed at any time. Changing a value makes all signatures invalid.
#
#   undercurrent consortium show FILE     what it says, in tables
#   undercurrent consortium sign FILE     sign it
#   undercurrent consortium verify FILE   check it, and all signatures

# Name of the consortium. It stands in the certificates and cannot be changed later.
consortium = $consortium

# Number of this version, and hash of the one that it replaces (empty for the first).
version = $version
previous = $previous

# In force from, and until (UTC). Without a new version everything stops at the end.
effective = $effective
expires = $expires

# Version of the protocol between the nodes.
engine = $engine

# Certificate of the authority that issues the members' certificates. It cannot add a member:
# each member's own certificate is named below and signed by all.
$authority

# Whose accounts may be scored or asked about. Each bank applies this to its own accounts and keeps
# a record of it; no account ever leaves its bank.
$scope
"""

ANALYSES = """\

# ---- What may be computed ----
#
# Only these analyses, each with
#   policies     how much a result tells: bands:0.2,0.5,0.8 (only the band of each own account),
#                threshold:0.8:0.05 (the value where it is high, rounded), exact. The first is used
#                where none is named. docs/choosing-bands.md says what each gives away.
#   max_window   the longest time whose payments are looked at
#   who          the banks that may propose it or ask in it: "all", or a list of ids
#   prepare      for how many later runs columns may be prepared at once (0: none)
#   parameters   what each setting may be: a value, one of several, or a range with both ends.
#                A setting that is not listed keeps its default. Private inputs, such as the
#                accounts that are asked about, are never listed: they stay at the bank.
"""

ANALYSES_HINT = """\
# Another example: PageRank over all payments that the banks hold. Its scores sum to 1 over all
# accounts of the consortium, so its bands lie near 1 / (number of accounts).
#
# [[analyses]]
# name = "pagerank"
# version = "1"
# policies = ["bands:0.000001,0.00001,0.0001"]
# [analyses.parameters]
# alpha = { min = 0.5, max = 0.9 }
# personalisation = { value = "risk_score" }
"""

BUDGETS = """\
# ---- How much may be disclosed ----
#
# An upper bound in bits for each bank and period (day, week or month, UTC). Every run is charged
# before it starts, for each bank: accounts (rounded up) x bits per value, in a trace also x slices.
# Four bands cost 2 bits for each account, threshold:0.01:0.01 costs 8. A run over budget is
# refused by all.
[budgets]
period = $period
bits = $bits
# Other bounds for single banks, by id.
banks = $banks
"""

SCHEDULES = """\

# ---- What runs by itself ----
#
#   cron      when (UTC): minute, hour, day of month, month, day of week
#   window    the payments of so much time before the last midnight
#   valid     how long after its time a run may still begin
#   prepare   prepare columns for so many later runs, instead of a result
"""

TRANSITION = """\
# ---- The step from the version before ----
#
#   schedules   continue: those that are the same go on; restart: all begin anew
#   columns     keep prepared columns where that is safe, or discard them. They are always
#               discarded when members, roles or their order change.
#   budgets     carry: what was spent in the running period stays spent; reset: it begins anew
[transition]
schedules = $schedules
columns = $columns
budgets = $budgets
"""

MARK = (
    "# ==== Members and signatures: from here on the commands undercurrent consortium write. ===="
)
