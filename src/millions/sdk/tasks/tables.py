"""The tables of tasks. Text only; it never connects.

A task is one row of `millions.tasks`, in one of three states; the row is gone when it is done.

    ready ──claim──→ held ──ran──→ (deleted)
      ↑                ├──failed──→ waiting ──due──→ ready
      │                ├──failed too often──→ millions.tasks_dead
      └──given back, or its worker died──┘

Two partial indexes hold what can be claimed and what waits; neither knows of what is held. Vacuum
comes early and unthrottled, for every row is written twice and deleted within a moment.
"""

from __future__ import annotations

READY = 0
WAITING = 1
HELD = 2

SCHEMA: tuple[str, ...] = (
    "CREATE SEQUENCE IF NOT EXISTS millions.task_ids",
    """
    CREATE TABLE IF NOT EXISTS millions.tasks (
        id bigint PRIMARY KEY DEFAULT nextval('millions.task_ids'),
        enqueued_at timestamptz NOT NULL DEFAULT now(),
        due_at timestamptz NOT NULL DEFAULT now(),
        unknown_since timestamptz,
        worker integer,
        state smallint NOT NULL DEFAULT 0,
        priority smallint NOT NULL DEFAULT 0,
        attempt smallint NOT NULL DEFAULT 0,
        losses smallint NOT NULL DEFAULT 0,
        queue text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        arguments text NOT NULL,
        key text,
        request_id text,
        error text
    ) WITH (
        fillfactor = 70,
        autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_insert_threshold = -1,
        autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0.5,
        autovacuum_analyze_threshold = 10000
    )
    """,
    f"""
    CREATE INDEX IF NOT EXISTS tasks_ready ON millions.tasks (queue, priority, id)
    WHERE state = {READY}
    """,
    f"""
    CREATE INDEX IF NOT EXISTS tasks_waiting ON millions.tasks (due_at) WHERE state = {WAITING}
    """,
    """
    CREATE TABLE IF NOT EXISTS millions.task_workers (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        seen_at timestamptz NOT NULL DEFAULT now(),
        missing_since timestamptz,
        name text NOT NULL
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE IF NOT EXISTS millions.task_keys (
        name text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        task_id bigint NOT NULL,
        kept_until timestamptz NOT NULL,
        PRIMARY KEY (name, key)
    )
    """,
    "CREATE INDEX IF NOT EXISTS task_keys_kept_until ON millions.task_keys (kept_until)",
    """
    CREATE TABLE IF NOT EXISTS millions.task_schedules (
        name text COLLATE "C" PRIMARY KEY,
        last_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS millions.tasks_dead (
        id bigint PRIMARY KEY,
        enqueued_at timestamptz NOT NULL,
        died_at timestamptz NOT NULL DEFAULT now(),
        priority smallint NOT NULL,
        attempts smallint NOT NULL,
        queue text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        arguments text NOT NULL,
        key text,
        request_id text,
        error text NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS tasks_dead_died_at ON millions.tasks_dead (died_at)",
    """
    CREATE TABLE IF NOT EXISTS millions.task_results (
        id bigint PRIMARY KEY,
        progress float8 NOT NULL,
        words text NOT NULL,
        result text,
        kept_until timestamptz NOT NULL
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX IF NOT EXISTS task_results_kept ON millions.task_results (kept_until)",
    """
    CREATE TABLE IF NOT EXISTS millions.task_counts (
        minute timestamptz NOT NULL,
        name text COLLATE "C" NOT NULL,
        kind text COLLATE "C" NOT NULL,
        tasks bigint NOT NULL,
        seconds float8 NOT NULL,
        PRIMARY KEY (minute, name, kind)
    ) WITH (fillfactor = 50)
    """,
)
