"""A node's database: its runs, results, ledger, audit log and what was taken in.

``database.Database`` opens it and gives transactions; every function takes the session of its
caller, so that the caller decides what belongs together.  ``tables`` declares the tables;
``runs``, ``slots``, ``statements``, ``messages``, ``column_sets`` and ``days`` are plain reading
and writing; ``results`` writes in bulk; ``ledger`` keeps to budgets; ``audit`` shows tampering;
``retention`` removes what is old.
"""

from bank_node.store.database import Database

__all__ = ["Database"]
