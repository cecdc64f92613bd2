"""A worker's answer is taken whole or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millions.reconcile.signals import WorkerSeen
from millions.runtime import asking

SAID: dict[str, Any] = {"slots": 4, "held": 3, "done": 7, "waiting": 9, "oldest_s": 1.5}


def answer(said: Any, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: x\r\n\r\n{json.dumps(said)}".encode()


def test_a_whole_answer_is_read() -> None:
    assert asking.parsed("workers.1", answer(SAID)) == WorkerSeen(name="workers.1", **SAID)
    named = asking.parsed("workers.1", answer(SAID | {"name": "workers.2"}))
    assert named.name == "workers.1", "it is not the one to say"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(answer(SAID)[:-4], id="broken off"),
        pytest.param(answer(SAID, "503 Service Unavailable"), id="not known"),
        pytest.param(answer([SAID]), id="a list"),
        pytest.param(answer(SAID | {"slots": 0}), id="no slots"),
        pytest.param(answer(SAID | {"held": -1}), id="fewer than none"),
        pytest.param(answer(SAID | {"held": "3"}), id="text for a number"),
        pytest.param(answer({"slots": 4}), id="a part"),
    ],
)
def test_anything_else_is_an_error(said: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        asking.parsed("workers.1", said)
