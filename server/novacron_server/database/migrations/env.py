"""Alembic's entry point: runs the migrations in versions/ on the connection from migrate(), each in a transaction."""

from __future__ import annotations

from alembic import context

from novacron_server.database.tables import METADATA


def run() -> None:
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=METADATA, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


run()
