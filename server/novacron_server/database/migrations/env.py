"""What alembic runs: the steps of versions/ on the connection that migrate() hands over, each in its transaction."""

from __future__ import annotations

from alembic import context

from novacron_server.database.tables import METADATA


def run() -> None:
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=METADATA, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


run()
