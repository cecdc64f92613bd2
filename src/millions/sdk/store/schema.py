"""The tables of the embedded store. Rows whose time is over are invisible before they are swept.

They are not made again once the store has servers of its own.
"""

from __future__ import annotations

SCHEMA: tuple[str, ...] = (
    """
    DO $$ BEGIN
    IF to_regclass('millions.store_moved') IS NULL THEN
        CREATE SEQUENCE IF NOT EXISTS millions.store_versions;
        CREATE TABLE IF NOT EXISTS millions.documents (
            key text COLLATE "C" PRIMARY KEY,
            value text NOT NULL,
            version bigint NOT NULL,
            expires_at timestamptz
        ) WITH (fillfactor = 85);
        CREATE INDEX IF NOT EXISTS documents_expires_at
            ON millions.documents (expires_at) WHERE expires_at IS NOT NULL;
        CREATE TABLE IF NOT EXISTS millions.counters (
            key text COLLATE "C" PRIMARY KEY,
            value bigint NOT NULL,
            expires_at timestamptz
        ) WITH (fillfactor = 70);
        CREATE INDEX IF NOT EXISTS counters_expires_at
            ON millions.counters (expires_at) WHERE expires_at IS NOT NULL;
        CREATE TABLE IF NOT EXISTS millions.sorted_items (
            key text COLLATE "C" NOT NULL,
            member text COLLATE "C" NOT NULL,
            score double precision NOT NULL,
            PRIMARY KEY (key, member)
        );
        CREATE INDEX IF NOT EXISTS sorted_items_by_score
            ON millions.sorted_items (key, score, member);
    END IF;
    END $$
    """,
)
"""A version number is never given out twice, so that compare-and-set cannot take a document that
was deleted and made anew for the one it knew. Counters leave room on each page, so that counting
up writes no index."""
