"""The JSON API of a node for the bank's own people and their programs.

::

    program ──token──▸ Guard ──▸ endpoints ──▸ Desk (threads)  ──▸ alerts, people, store
    proxy ───header──▸ (size, JSON)        └─▸ Controlled (loop) ▸ joint runs

FastAPI under ``/api/v1``; the description is ``openapi.json`` in this folder, which
``python -m bank_node.api.openapi`` writes and a test holds against the code.  The same application
answers on the node's control socket, so that ``undercurrent alerts`` needs no port.
"""

from bank_node.api.app import api_app

__all__ = ["api_app"]
