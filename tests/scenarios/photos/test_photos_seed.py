"""The seed must fill the application the way people do: through its own doors, and skewed."""

import asyncio
import sys
from itertools import pairwise

import pytest
from photos_stage import FOLDER

from millions.testing import eventually
from photos.seed import plan_of, zipf


async def run(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Run the command; answer its exit status and all that it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "photos", *arguments),
        cwd=FOLDER,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 90)
    return process.returncode or 0, said.decode()


async def test_seeded_people_can_log_in_and_their_pictures_are_developed(
    photos_environment, photos_site, visitor
):
    status, said = await run(
        photos_environment, "seed", "--users", "12", "--photos", "15", "--seed", "4"
    )
    assert status == 0, said
    for whole in ("people", "follows", "photos", "likes", "comments"):
        assert whole in said
    handle = said.partition("such as @")[2].partition(",")[0]
    given = {"handle": handle, "password": "photographs"}
    assert (await visitor.post("/api/session", json=given)).status_code == 201

    async def developed() -> bool:
        seen = (await visitor.get("/api/explore")).json()["photos"]
        return sum(each["ready"] for each in seen) >= 15

    assert await eventually(developed, within_s=60)
    profile = (await visitor.get(f"/api/people/{handle}")).json()
    assert profile["following"] > 0


@pytest.mark.parametrize(
    "arguments", [["--users", "1"], ["--users", "9999999"], ["--users", "2", "--photos", "99"]]
)
def test_a_seed_without_measure_is_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        plan_of(arguments)
    assert "must be" in capsys.readouterr().err


def test_the_first_are_followed_much_more_than_the_others():
    weights = zipf(1000)
    assert all(one > other for one, other in pairwise(weights))
    assert sum(weights[:100]) > sum(weights) / 2
