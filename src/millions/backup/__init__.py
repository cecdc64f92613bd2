"""Backups of the database: archived WAL and base backups, made, kept, checked and restored."""
