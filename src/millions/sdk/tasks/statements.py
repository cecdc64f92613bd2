"""Every statement about tasks, but for the tables. Text only; it never connects.

Claims read the head of a partial index in order and skip what others hold. They ask for each
(queue, priority) apart and from a floor upwards, so that a claim does not walk over the index
entries of a million tasks that are done but not vacuumed yet.
Source: SKIP LOCKED queues in the manual of PostgreSQL; the floor is the "cursor" of PgQ.
"""
# only constants of this file are put into the statements

# ruff: noqa: S608  # only constants of this file are put into the statements

from __future__ import annotations

from millions.sdk.tasks.tables import HELD, READY, WAITING

CHANNEL = "millions_tasks"
"""The channel of LISTEN; its payload names queues, separated by commas."""

LOCK_CLASS = 0x6D696C6C
"""First half of the advisory lock that a worker's connection holds while the process lives."""

TEND_LOCK = 0x74656E64
"""First half of the lock under which one process at a time tends; the second is 0."""

SESSION = """
    SET synchronous_commit = off;
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET enable_sort = off;
    SET jit = off;
    SET plan_cache_mode = force_generic_plan;
    SET lock_timeout = '2s';
    SET idle_in_transaction_session_timeout = '30s'
"""
"""The worker's connection. The plans that are right for a million rows are forced, for the planner
would choose others while the table is empty and keep them. A claim need not reach the disk: when
it is lost, the task is ready again. `EXCHANGE` flushes when it acknowledges."""

EXCHANGE = f"""
    WITH acknowledged AS (
        DELETE FROM millions.tasks
        WHERE id = ANY($2::bigint[]) AND worker = $1
          AND (SELECT set_config('synchronous_commit', $3, true)) IS NOT NULL
    ), registered AS (
        SELECT id FROM millions.task_workers WHERE id = $1 FOR SHARE
    ), picked AS (
        SELECT task.id
        FROM unnest($4::text[], $5::smallint[], $6::bigint[], $8::bigint[])
            AS line (queue, priority, floor, most)
        CROSS JOIN LATERAL (
            SELECT id FROM millions.tasks
            WHERE state = {READY} AND queue = line.queue AND priority = line.priority
              AND id >= line.floor
            ORDER BY id LIMIT line.most FOR UPDATE SKIP LOCKED
        ) AS task
        WHERE EXISTS (SELECT FROM registered)
        LIMIT $7
    )
    UPDATE millions.tasks SET state = {HELD}, worker = $1, attempt = attempt + 1
    WHERE id = ANY (ARRAY(SELECT id FROM picked))
    RETURNING id, priority, attempt, queue, name, arguments, key, request_id, due_at, enqueued_at,
        extract(epoch FROM clock_timestamp() - unknown_since)::float8 AS unknown_s
"""
"""Acknowledge what ran and claim more, in one transaction. `registered` is locked so that a worker
which was declared dead at this moment claims nothing that nobody would look for."""

SETTLE = """
    UPDATE millions.tasks AS task SET
        state = settled.state, worker = NULL, error = coalesce(settled.error, task.error),
        attempt = task.attempt - settled.uncounted,
        unknown_since = CASE WHEN settled.unknown THEN coalesce(task.unknown_since, now()) END,
        due_at = CASE WHEN settled.delay_s IS NULL THEN task.due_at
                 ELSE clock_timestamp() + settled.delay_s * interval '1 second' END
    FROM unnest($2::bigint[], $3::smallint[], $4::smallint[], $5::float8[], $6::text[], $7::bool[])
        AS settled (id, state, uncounted, delay_s, error, unknown)
    WHERE task.id = settled.id AND task.worker = $1
"""
"""Let go of tasks that are not done: to be tried later, or given back uncounted."""

_DEAD_COLUMNS = "id, enqueued_at, priority, attempts, queue, name, arguments, key, request_id"

BURY = f"""
    WITH gone AS (
        DELETE FROM millions.tasks WHERE id = ANY ($2::bigint[]) AND worker = $1 RETURNING *
    )
    INSERT INTO millions.tasks_dead ({_DEAD_COLUMNS}, error)
    SELECT id, enqueued_at, priority, attempt, queue, name, arguments, key, request_id, said.error
    FROM gone JOIN unnest($2::bigint[], $3::text[]) AS said (id, error) USING (id)
"""

RESTORE = f"""
    UPDATE millions.tasks SET state = {READY}, worker = NULL, attempt = attempt - 1
    WHERE state = {HELD} AND worker = $1 AND NOT id = ANY ($2::bigint[])
"""
"""After a connection broke: what was claimed, but whose rows never arrived."""

ENTER = """
    INSERT INTO millions.task_workers (id, name) OVERRIDING SYSTEM VALUE VALUES ($1, $2)
"""
NEXT_WORKER = "SELECT nextval(pg_get_serial_sequence('millions.task_workers', 'id'))::integer"
TAKE_LOCK = f"SELECT pg_try_advisory_lock({LOCK_CLASS}, $1)"
END_HOLDER = f"""
    SELECT pg_terminate_backend(pid, 1000) FROM pg_locks
    WHERE locktype = 'advisory' AND classid = {LOCK_CLASS} AND objid = $1::integer::oid
      AND objsubid = 2 AND granted AND pid <> pg_backend_pid()
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""Ends the worker's own former connection, which the server may still believe in."""

BEAT = """
    UPDATE millions.task_workers SET seen_at = now(), missing_since = NULL WHERE id = $1
    RETURNING id
"""
LEAVE = f"""
    WITH given_back AS (
        UPDATE millions.tasks SET state = {READY}, worker = NULL, attempt = attempt - 1
        WHERE state = {HELD} AND worker = $1
    )
    DELETE FROM millions.task_workers WHERE id = $1
"""
"""A worker that signs off holds nothing: nobody looks for the tasks of one that is not listed."""

TRY_TEND = f"SELECT pg_try_advisory_xact_lock({TEND_LOCK}, 0) AS mine, now() AS now"

LOOK = f"""
    WITH looked AS MATERIALIZED (
        SELECT id, pg_try_advisory_xact_lock({LOCK_CLASS}, id) AS free
        FROM millions.task_workers WHERE id <> $1
    )
    UPDATE millions.task_workers AS worker
    SET missing_since = CASE WHEN looked.free THEN now() END
    FROM looked
    WHERE worker.id = looked.id AND looked.free <> (worker.missing_since IS NOT NULL)
"""
"""A lock that can be taken was let go of by PostgreSQL: the worker's connection is gone."""

DECLARE_DEAD = """
    DELETE FROM millions.task_workers
    WHERE id <> $1 AND (missing_since < now() - $2::float8 * interval '1 second'
                        OR seen_at < now() - $3::float8 * interval '1 second')
    RETURNING id
"""

RELEASE = f"""
    UPDATE millions.tasks SET
        state = CASE WHEN losses = 0 THEN {READY} ELSE {WAITING} END, worker = NULL,
        due_at = CASE WHEN losses = 0 THEN due_at
                 ELSE clock_timestamp() + (2 ^ losses) * (0.5 + random()) * interval '1 second' END,
        losses = losses + 1, attempt = attempt - 1
    WHERE state = {HELD} AND worker = ANY ($1::integer[])
    RETURNING queue
"""
"""What a dead worker held. At once the first time; then apart from each other, so that one task
which kills its worker does not take the same neighbours with it again."""

BURY_DEADLY = f"""
    WITH gone AS (
        DELETE FROM millions.tasks
        WHERE state = {HELD} AND worker = ANY ($1::integer[]) AND losses >= $2 RETURNING *
    )
    INSERT INTO millions.tasks_dead ({_DEAD_COLUMNS}, error)
    SELECT id, enqueued_at, priority, attempt, queue, name, arguments, key, request_id,
        format('its worker died %s times while it held this task', losses + 1)
    FROM gone
"""

PROMOTE = f"""
    UPDATE millions.tasks SET state = {READY}
    WHERE id = ANY (ARRAY(
        SELECT id FROM millions.tasks WHERE state = {WAITING} AND due_at <= now()
        ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ))
    RETURNING queue
"""

NEXT_DUE = f"""
    SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 AS in_s,
        (SELECT count(*) FROM millions.task_workers) AS workers
    FROM millions.tasks WHERE state = {WAITING}
"""

INTRODUCE = """
    INSERT INTO millions.task_schedules (name, last_at)
    SELECT name, now() FROM unnest($1::text[]) AS name ON CONFLICT (name) DO NOTHING
"""

TICK = """
    WITH due AS (
        SELECT * FROM unnest($1::text[], $2::text[], $3::smallint[], $4::timestamptz[])
            AS due (name, queue, priority, at)
    ), moved AS (
        UPDATE millions.task_schedules AS schedule SET last_at = due.at
        FROM due WHERE schedule.name = due.name AND schedule.last_at < due.at
        RETURNING schedule.name
    )
    INSERT INTO millions.tasks (name, queue, priority, due_at, arguments)
    SELECT name, queue, priority, at, '[1,[]]' FROM due JOIN moved USING (name)
    RETURNING queue
"""
"""Exactly one row per tick over all processes: the schedule's row moves on once, and with it."""

SWEEP_KEYS = """
    DELETE FROM millions.task_keys WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM millions.task_keys WHERE kept_until < now() LIMIT $1))
"""
SWEEP_DEAD = """
    DELETE FROM millions.tasks_dead WHERE id = ANY (ARRAY(
        SELECT id FROM millions.tasks_dead
        WHERE died_at < now() - $2::float8 * interval '1 second' LIMIT $1))
"""

COMPLETE = """
    DELETE FROM millions.tasks WHERE id = $1 AND worker = $2 AND attempt = $3
    RETURNING id
"""
"""An acknowledgement within the transaction of the task's effect."""

_MOMENT = f"""
    coalesce(given.at, now()) + given.delay_s * interval '1 second' AS due_at,
    CASE WHEN coalesce(given.at, now()) + given.delay_s * interval '1 second' > now()
         THEN {WAITING} ELSE {READY} END AS state"""

ENQUEUE = f"""
    INSERT INTO millions.tasks
        (name, queue, priority, request_id, arguments, due_at, state)
    SELECT name, queue, priority, request_id, arguments, {_MOMENT}
    FROM unnest($1::text[], $2::text[], $3::smallint[], $4::text[], $5::text[],
                $6::timestamptz[], $7::float8[])
        AS given (name, queue, priority, request_id, arguments, at, delay_s)
    RETURNING id
"""

ENQUEUE_KEYED = f"""
    WITH given AS (
        SELECT *, {_MOMENT} FROM (SELECT $1::text AS name, $2::text AS queue,
            $3::smallint AS priority, $4::text AS request_id, $5::text AS arguments,
            $6::timestamptz AS at, $7::float8 AS delay_s) AS given
    ), taken AS (
        INSERT INTO millions.task_keys AS known (name, key, task_id, kept_until)
        SELECT name, $8::text, nextval('millions.task_ids'),
            due_at + $9::float8 * interval '1 second'
        FROM given
        ON CONFLICT (name, key) DO UPDATE
            SET task_id = excluded.task_id, kept_until = excluded.kept_until
            WHERE known.kept_until < now()
        RETURNING task_id
    )
    INSERT INTO millions.tasks
        (id, name, queue, priority, request_id, arguments, due_at, state, key)
    SELECT task_id, name, queue, priority, request_id, arguments, due_at, state, $8::text
    FROM given CROSS JOIN taken
    RETURNING id
"""
"""Waits for a transaction that writes the same key at this moment; no row: the key is taken."""

KNOWN_KEY = "SELECT task_id FROM millions.task_keys WHERE name = $1 AND key = $2"

DEAD = """
    SELECT id, name, queue, arguments, key, request_id, attempts, error, enqueued_at, died_at
    FROM millions.tasks_dead ORDER BY died_at DESC, id DESC LIMIT $1
"""

REVIVE = f"""
    WITH gone AS (DELETE FROM millions.tasks_dead WHERE id = $1 RETURNING *)
    INSERT INTO millions.tasks
        (id, enqueued_at, queue, priority, name, arguments, key, request_id, state)
    SELECT id, enqueued_at, queue, priority, name, arguments, key, request_id, {READY} FROM gone
    RETURNING queue
"""

COUNTS = """
    SELECT queue, state, count(*) AS tasks,
        extract(epoch FROM clock_timestamp() - min(due_at))::float8 AS oldest_s
    FROM millions.tasks GROUP BY queue, state
"""
WORKERS = """
    SELECT (SELECT count(*) FROM millions.task_workers WHERE missing_since IS NULL) AS workers,
        (SELECT count(*) FROM millions.tasks_dead) AS dead
"""

VACUUM = "VACUUM (SKIP_LOCKED, TRUNCATE false) millions.tasks"
"""Nobody waits for it: it skips a table that is being vacuumed, and leaves cutting off its end,
which locks everybody out for a moment, to autovacuum."""
