"""A throw-away stack must have the sizes of the user's stack, and nothing that is the user's."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from millions import stack
from millions.drill import stage as stages

if TYPE_CHECKING:
    from pathlib import Path

USERS = """
rung = 4

[app]
name = "shop"
web = "shop.main:app"
migrate = "alembic upgrade head"
secrets = { KEY = { file = "stripe.key" } }

[web]
listen = "0.0.0.0:80"
servers = 3

[balancer]
https = "0.0.0.0:443"
certificate = "/etc/shop.pem"
balance = "roundrobin"

[database]
memory_mib = 128
"""


def made(root: Path, text: str, *, folder: Path | None = None, rung: int = 4) -> dict[str, Any]:
    stage = stages.make(tomllib.loads(text), rung=rung, folder=folder, root=root)
    written = stage.file.read_text()
    stack.parse(written)
    return tomllib.loads(written)


def test_sizes_are_copied_and_addresses_and_paths_are_not(tmp_path: Path) -> None:
    found = made(tmp_path, USERS)
    assert found["database"] == {"memory_mib": 128}
    assert found["balancer"] == {"balance": "roundrobin"}
    assert found["web"]["servers"] == 3
    assert found["web"]["listen"].startswith("127.0.0.1:")
    assert found["app"]["name"] == "drill"
    assert found["app"]["web"] == "drilled:app"
    assert "migrate" not in found["app"]
    assert "secrets" not in found["app"]


def test_the_application_of_the_user_is_a_copy(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    (folder / ".git").mkdir(parents=True)
    (folder / "main.py").write_text("app = None")
    (tmp_path / "root").mkdir()
    found = made(tmp_path / "root", USERS, folder=folder)
    assert found["app"]["web"] == "shop.main:app"
    copied = tmp_path / "root" / "drill"
    assert (copied / "main.py").exists()
    assert not (copied / ".git").exists()


def test_no_stack_file_is_needed(tmp_path: Path) -> None:
    assert made(tmp_path, "", rung=1)["rung"] == 1
