"""Alembic's entry point; the connection is handed in by ``sender.storage.migrate``."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], transaction_per_migration=True
)
with context.begin_transaction():
    context.run_migrations()
