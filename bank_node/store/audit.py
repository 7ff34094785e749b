"""The audit log: who did what, when, by which manifest, and what was disclosed.

Entries are only ever added (``append``).  ``sign_head`` at the end of each transaction that adds
some keeps all of them covered by a signed checkpoint; ``verify`` tells whether the log is what was
written; ``prune`` removes entries whose time of retention is over; ``export`` writes it for an
auditor, who checks it with ``verify_export`` and the node's public keys.
"""

from bank_node.store.audit_export import export, verify_export
from bank_node.store.chain import Checkpoint, Entry, Key
from bank_node.store.checkpoints import prune, sign_head, verify
from bank_node.store.details import ACCOUNT
from bank_node.store.entries import append, entries, head
from bank_node.store.verification import Head, Verification

__all__ = [
    "ACCOUNT",
    "Checkpoint",
    "Entry",
    "Head",
    "Key",
    "Verification",
    "append",
    "entries",
    "export",
    "head",
    "prune",
    "sign_head",
    "verify",
    "verify_export",
]
