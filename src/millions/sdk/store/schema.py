"""The tables of the embedded store. Rows whose time is over are invisible before they are swept.

They are not made again while the store has servers of its own; they are when it has them no more.
"""

from __future__ import annotations

TABLES = """
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
"""
"""A version number is never given out twice, so that compare-and-set cannot take a document that
was deleted and made anew for the one it knew. Counters leave room on each page, so that counting
up writes no index."""

CHANGES = """
CREATE TABLE IF NOT EXISTS millions.store_changes (
    number bigint PRIMARY KEY,
    to_servers boolean NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now(),
    unmoved_keys bigint,
    proven_at timestamptz
)
"""
"""The changes of home, of which the latest counts. On the way back `unmoved_keys` is an estimate of
what is still on the servers, and `proven_at` is when they were found to have nothing any more."""

RETURNED = """
CREATE TABLE millions.store_returned (key text COLLATE "C" PRIMARY KEY)
"""
"""While the store comes back from servers: the keys that have, or that there is nothing of."""

SCHEMA: tuple[str, ...] = (
    f"""
    DO $$ BEGIN
    IF to_regclass('millions.store_moved') IS NULL THEN {TABLES} END IF;
    END $$
    """,
    CHANGES,
)
