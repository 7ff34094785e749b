"""Runs the migrations on the connection that ``schema.upgrade`` hands over.

The connection is within a transaction of its caller, to which all steps belong.
"""

from alembic import context

from bank_node.store.schema import VERSION_TABLE
from bank_node.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
