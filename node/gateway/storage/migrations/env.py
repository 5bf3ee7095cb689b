"""Entry point that alembic runs: migrates over the connection that `node.storage.database` hands in."""

from __future__ import annotations

from alembic import context

from node.gateway.storage.tables import Gateway

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Gateway.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
