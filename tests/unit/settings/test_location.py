from __future__ import annotations

import pytest

from millions.settings.location import line_of

TEXT = """\
rung = 1
[app]
name = "photos" # a name
"web" = "x"
environment.A = "1"
[ app.secrets ]
KEY = { file = "k" }
# [database]
[database]  # the truth
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        pytest.param(("rung",), 1, id="a key before any table"),
        pytest.param(("app",), 2, id="a table"),
        pytest.param(("app", "name"), 3, id="a key"),
        pytest.param(("app", "web"), 4, id="a quoted key"),
        pytest.param(("app", "environment", "A"), 5, id="a dotted key"),
        pytest.param(("app", "secrets", "KEY"), 7, id="a key of a nested table"),
        pytest.param(("app", "secrets", "KEY", "file"), 7, id="inside an inline table"),
        pytest.param(("app", "missing"), 2, id="a missing key is found at its table"),
        pytest.param(("database",), 9, id="a commented header is none"),
        pytest.param(("nothing",), None, id="nowhere"),
    ],
)
def test_a_key_is_found_where_it_stands(path: tuple[str, ...], line: int | None) -> None:
    assert line_of(TEXT, path) == line
