"""The statements that several routes of the application of drills have in common."""

from __future__ import annotations

from sqlalchemy import text

WRITE = text(
    "INSERT INTO drill.registers AS r (key, value, version) VALUES (:key, :value, 1)"
    " ON CONFLICT (key) DO UPDATE SET value = :value, version = r.version + 1 RETURNING r.version"
)
READ = text("SELECT value, version FROM drill.registers WHERE key = :key")
ADD = text("INSERT INTO drill.elements (name, value) VALUES (:name, :value)")
MEMBERS = text("SELECT value FROM drill.elements WHERE name = :name")
