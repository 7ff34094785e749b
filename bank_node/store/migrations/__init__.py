"""Alembic's environment: run by ``bank_node.store.schema``, never from the command line."""
