"""A history that can be read must be read as it was written; any other must be refused in words."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from histories import judged, operation
from hypothesis import given, settings
from hypothesis import strategies as st

from millions.drill.checker import check
from millions.drill.history import Event, Header, Operation, Writer, parse, read
from millions.errors import HistoryError

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with Writer(path, Header(promises=("G1",), may_fail="none", drill="kill-web")) as writer:
        writer.operation(at=1.0, done=2.0, kind="write", key="x", value=[1], outcome="ok", user="u")
        writer.operation(at=1.0, done=None, kind="add", key="x", value="é", outcome="unknown")
        writer.event("kill", 3.0, id="1", aim="web.1")
    header, first, second, event = read(path)
    assert header == Header(promises=("G1",), may_fail="none", drill="kill-web")
    assert isinstance(first, Operation)
    assert (first.line, first.value, first.user) == (2, [1], "u")
    assert isinstance(second, Operation)
    assert second.done == math.inf
    assert isinstance(event, Event)
    assert (event.event, event.aim, event.planned) == ("kill", "web.1", False)


def test_a_line_that_was_cut_off_at_the_end_is_left_out() -> None:
    whole = b'{"at": 1, "done": 2, "kind": "view", "outcome": "ok"}\n'
    assert len(list(parse([whole, whole[:20]]))) == 1


@pytest.mark.parametrize(
    ("line", "because"),
    [
        (b"not json\n", "literal"),
        (b"[1]\n", "no object"),
        (b'{"at": 1}\n', "neither"),
        (b'{"kind": "view", "outcome": "ok"}\n', "'at'"),
        (b'{"kind": "view", "at": 1, "done": 2, "outcome": "good"}\n', "ok, failed or unknown"),
        (b'{"kind": "view", "at": 1, "outcome": "ok"}\n', "no answer came"),
        (b'{"kind": "view", "at": 3, "done": 2, "outcome": "ok"}\n', "the later one"),
        (b'{"kind": "view", "at": "x", "done": 2, "outcome": "ok"}\n', "seconds"),
        (b'{"kind": 7, "at": 1, "done": 2, "outcome": "ok"}\n', "texts"),
        (b'{"kind": "read", "at": 1, "done": 2, "outcome": "ok", "level": "x"}\n', "linear or"),
        (b'{"history": 99}\n', "format is 99"),
        (b'{"history": 1, "may_fail": "some"}\n', "may_fail"),
    ],
)
def test_what_is_wrong_in_a_line_is_said_with_its_number(line: bytes, because: str) -> None:
    good = b'{"at": 1, "done": 2, "kind": "view", "outcome": "ok"}\n'
    with pytest.raises(HistoryError) as caught:
        list(parse([good, line], source="h.jsonl"))
    assert "line 2 of h.jsonl" in caught.value.cannot
    assert because in caught.value.because


@pytest.mark.parametrize(
    ("kind", "value"),
    [("transfer", 5), ("transfer", {"from": "a"}), ("balances", [1])],
)
def test_a_value_that_its_kind_cannot_have_is_refused(kind: str, value: object) -> None:
    with pytest.raises(HistoryError, match="judge line 1"):
        judged(operation(kind, value, 0, 1))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="No such file"):
        list(read(tmp_path / "none.jsonl"))


def test_nothing_to_judge_by_is_not_called_well() -> None:
    assert judged().held == {"G1": None, "G3": None, "G4": None}


SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(0, 5) | st.text(max_size=3)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=2), SCALARS)
FIELDS = {
    "kind": st.sampled_from(["read", "write", "add", "members", "transfer", "balances", "open"]),
    "at": st.floats(0, 5) | SCALARS,
    "done": st.floats(5, 9) | SCALARS,
    "outcome": st.sampled_from(["ok", "ok", "unknown", "failed", "?"]),
    "value": VALUES | st.fixed_dictionaries({"from": SCALARS, "to": SCALARS, "amount": SCALARS}),
}
NAMES = ("key", "user", "version", "idempotency", "level", "status", "model", "event")
MORE = dict.fromkeys(NAMES, VALUES)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.fixed_dictionaries(FIELDS, optional=MORE) | VALUES, max_size=6))
def test_whatever_a_line_holds_there_is_a_verdict_or_a_refusal_in_words(lines: list[Any]) -> None:
    written = [orjson.dumps(each) + b"\n" for each in lines]
    with suppress(HistoryError):
        check(parse(written))
