"""Alembic runs this file at each command: the connection comes from the caller, who owns the transaction."""

from alembic import context

from queries.state.tables import state

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=state,
    render_as_batch=True,  # SQLite cannot change a column in place
)
with context.begin_transaction():
    context.run_migrations()
