"""X must Y: tasks must go from the web process to workers and back, each once."""

import asyncio

import pytest

from millions.testing import eventually

pytestmark = pytest.mark.timeout(300)  # one climb after the other

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
    await workers_must_have_a_release_of_their_own(jobs)
    await a_release_that_cannot_start_must_change_nothing(jobs)
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


async def workers_must_have_a_release_of_their_own(jobs):
    former, web = jobs.units()["web.1"]["release"], jobs.pid("web.1")
    application = jobs.folder / "jobs_app.py"
    application.write_text(application.read_text() + "\n# a release of the workers\n")
    deploys = asyncio.create_task(jobs.command("deploy", "--only", "workers", "--json"))
    await jobs.enqueue_while(deploys)
    own = deploys.result().json["release"]
    assert deploys.result().json == {"release": own, "before": former, "only": "workers"}
    assert own != former
    jobs.millions("scale", "workers=3")  # what changes servers keeps both releases
    await jobs.none_left()
    await jobs.ran_once_each()
    units = jobs.units()
    assert {each["release"] for name, each in units.items() if "workers" in name} == {own}
    assert len([name for name in units if "workers" in name]) == 3
    assert (units["web.1"]["release"], jobs.pid("web.1")) == (former, web), "it was left alone"
    listed = jobs.millions("deploy", "--list").out.splitlines()
    assert listed[:2] == [f"{own}  runs in workers", f"{former}  runs in web"]
    said = jobs.millions("sql", "--csv", "SELECT release FROM migrations ORDER BY at").out
    assert len(said.split()) == 3, "workers alone run no migration"

    everywhere = jobs.millions("deploy", "--rollback", status=4)
    assert f"web runs {former}, workers runs {own}" in everywhere.err
    unknown = jobs.millions("deploy", "--only", "web", "--to", own, status=4)
    assert "the releases that have run in web" in unknown.err, "no release to go back to there"
    jobs.millions("deploy", "--only", "workers", "--rollback")
    assert {each["release"] for each in jobs.units().values() if each["release"]} == {former}
    jobs.millions("deploy", "--only", "workers", "--to", own)
    jobs.millions("deploy")
    assert {each["release"] for each in jobs.units().values() if each["release"]} == {own}


async def a_release_that_cannot_start_must_change_nothing(jobs):
    application, said = jobs.folder / "jobs_app.py", jobs.file.read_text()
    text, pids = application.read_text(), jobs.pids()
    application.write_text(text + '\nif "workers" in UNIT:\n    raise RuntimeError("no worker")\n')
    refused = jobs.millions("deploy", "--only", "workers", status=4)
    assert "no worker" in refused.err
    application.write_text(text)
    assert jobs.pids() == pids

    refused = jobs.millions("deploy", "--only", "database", status=4)
    assert "because: the application runs in web, workers" in refused.err
    jobs.file.write_text(said.replace("concurrency = 8", "concurrency = 9"))
    refused = jobs.millions("deploy", "--only", "workers", status=4)
    assert "the stack file says something else than what runs" in refused.err
    jobs.file.write_text(said)
    assert jobs.pids() == pids


async def the_way_back_must_lose_nothing_either(jobs):
    scaled = WORKERS.replace("servers = 2", "servers = 3")
    jobs.file.write_text(jobs.file.read_text().replace(scaled, ""))
    descends = asyncio.create_task(jobs.command("up", "--detach"))
    await jobs.enqueue_while(descends)
    await jobs.none_left()
    await jobs.ran_once_each()
    assert {name for name in jobs.units() if "work" in name} == set()
    before = len(await jobs.runs())
    await jobs.enqueue("note", 10)
    await jobs.none_left()
    assert {row[1] for row in (await jobs.runs())[before:]} == {"web.1"}
