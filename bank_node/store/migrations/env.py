"""Runs the migrations on the connection that ``schema.upgrade`` hands over.

The connection is within a transaction of its caller, to which all steps belong.

A node's database has tables of two bases: the store's, on which those of ``bank_node.people`` and
``bank_node.desk`` stand as well, and that of ``alerts``.  A step says by itself what it makes; that
all steps together make what is declared is what the tests compare.
"""

from alembic import context

from alerts.tables import Base as AlertsBase
from bank_node.store.schema import VERSION_TABLE
from bank_node.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=[Base.metadata, AlertsBase.metadata],
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
