"""Alembic migrations, from nothing to now, alike on SQLite and PostgreSQL."""
