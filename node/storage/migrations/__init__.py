"""Alembic migrations, shipped with the package and run when the database is opened."""
