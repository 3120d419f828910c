"""Alembic's entry point: runs the revisions on the connection, and inside the transaction, of
`store.engine.migrate`.
"""

from alembic import context

from store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
