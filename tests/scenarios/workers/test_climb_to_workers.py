"""X must Y: tasks must go from the web process to workers and back, each once."""

import asyncio

from millions.testing import eventually

WORKERS = """
[workers]
servers = 2
concurrency = 8
drain_s = 5
"""


async def test_tasks_must_move_to_workers_and_back_while_they_are_enqueued(jobs):
    jobs.millions("up", "--detach")
    await jobs.enqueue("slowly", 20)

    jobs.append(WORKERS)
    climbs = asyncio.create_task(jobs.command("up", "--detach"))
    assert await jobs.enqueue_while(climbs) > 10
    await jobs.none_left()
    await jobs.ran_once_each()
    units = {unit for _, unit, _, _ in await jobs.runs()}
    assert {"web.1"} < units <= {"web.1", "workers.1", "workers.2"}

    before = len(await jobs.runs())
    await jobs.enqueue("slowly", 20)
    await jobs.none_left()
    by_workers = {unit for _, unit, _, _ in (await jobs.runs())[before:]}
    assert by_workers <= {"workers.1", "workers.2"}

    await a_release_must_reach_the_web_first_and_lose_nothing(jobs)
    await the_way_back_must_lose_nothing_either(jobs)


async def a_release_must_reach_the_web_first_and_lose_nothing(jobs):
    application = jobs.folder / "jobs_app.py"
    application.write_text(application.read_text() + "\n# another release\n")
    deploys = asyncio.create_task(jobs.command("deploy", "--json"))
    await jobs.enqueue_while(deploys)
    release = deploys.result().json["release"]
    await jobs.none_left()
    await jobs.ran_once_each()

    async def everywhere():
        units = jobs.units()
        return {unit["release"] for name, unit in units.items() if "work" in name} == {release}

    await eventually(everywhere, within_s=30)
    before = len(await jobs.runs())
    await jobs.enqueue("note", 10)
    await jobs.none_left()
    assert {row[3] for row in (await jobs.runs())[before:]} == {release}
    said = jobs.millions("sql", "--csv", "SELECT release FROM migrations ORDER BY at").out
    assert len(said.split()) == 3, "the header, and one migration a release"


async def the_way_back_must_lose_nothing_either(jobs):
    jobs.file.write_text(jobs.file.read_text().replace(WORKERS, ""))
    descends = asyncio.create_task(jobs.command("up", "--detach"))
    await jobs.enqueue_while(descends)
    await jobs.none_left()
    await jobs.ran_once_each()
    assert {name for name in jobs.units() if "work" in name} == set()
    before = len(await jobs.runs())
    await jobs.enqueue("note", 10)
    await jobs.none_left()
    assert {row[1] for row in (await jobs.runs())[before:]} == {"web.1"}
