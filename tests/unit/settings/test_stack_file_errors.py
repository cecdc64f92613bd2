"""What is wrong in a stack file is said in three lines: what, the value found, one edit."""

from __future__ import annotations

import pytest

from millions.errors import StackFileError
from millions.stack import parse

APP = '[app]\nname = "photos"\nweb = "photos.web:app"\n'


def refused(text: str) -> StackFileError:
    with pytest.raises(StackFileError) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "because", "try_"),
    [
        pytest.param(
            APP + "[database]\nmemry_mib = 512\n",
            "line 5: [database] has no setting 'memry_mib'",
            "did you mean memory_mib?",
            id="unknown setting",
        ),
        pytest.param(
            APP + "[databse]\n",
            "line 4: there is no table or setting 'databse'",
            "did you mean database?",
            id="unknown table",
        ),
        pytest.param(
            APP + '[cache]\n\nmemory_mib = "64"\n',
            'line 6: [cache] memory_mib is "64"; it must be a whole number from 1 to 65536 MiB',
            "memory_mib = 64",
            id="wrong type",
        ),
        pytest.param(
            APP + "[database]\nmemory_mib = 1\n",
            "line 5: [database] memory_mib is 1; it must be a whole number from 64 to 4194304 MiB",
            "memory_mib = 256",
            id="out of bounds",
        ),
        pytest.param(
            APP + "[tasks]\nconcurrency = true\n",
            "line 5: [tasks] concurrency is true; it must be a whole number from 1 to 1024",
            "concurrency = 16",
            id="a truth is no number",
        ),
        pytest.param(
            APP + '[web]\nlisten = "localhost"\n',
            'line 5: [web] listen is "localhost"; it must be an IPv4 address and a port, such as '
            "127.0.0.1:8000 or 0.0.0.0:80",
            'listen = "127.0.0.1:8000"',
            id="no address",
        ),
        pytest.param(
            '[app]\nname = "photos"\n',
            "line 1: [app] lacks web",
            'web = "photos.web:app"',
            id="missing setting",
        ),
        pytest.param(
            '[app]\nname = "Photos!"\nweb = "photos.web:app"\n',
            'line 2: [app] name is "Photos!"; it must be 2 to 40 small letters, digits and '
            "hyphens, beginning with a letter",
            'name = "photos"',
            id="bad name",
        ),
        pytest.param(
            'app = "photos"\n',
            'line 1: app is "photos"; it must be a table',
            "[app], with its settings on the lines below",
            id="not a table",
        ),
        pytest.param(
            APP + "[app.environment]\nPORT = 8000\n",
            "line 5: [app] environment.PORT is 8000; it must be a table, each value a text in "
            "quotes",
            'environment = { LANGUAGE = "en" }',
            id="a number in the environment",
        ),
        pytest.param(
            APP + 'secrets = { KEY = { file = "a", env = "B" } }\n',
            'line 4: [app] secrets.KEY is { file = "a", env = "B" }; it must be '
            'either { file = "…" } or { env = "NAME" }',
            'secrets = { STRIPE_KEY = { file = "stripe.key" } }',
            id="a secret in two places",
        ),
        pytest.param(
            'rung = "one"\n' + APP,
            'line 1: rung is "one"; it must be a whole number',
            "rung = 1",
            id="rung in words",
        ),
    ],
)
def test_an_error_names_the_line_the_value_and_one_edit(text: str, because: str, try_: str) -> None:
    error = refused(text)
    assert (error.cannot, error.because, error.try_) == ("read millions.toml", because, try_)


def test_what_is_not_toml_is_refused_with_its_line() -> None:
    error = refused("[app]\nname = photos\n")
    assert error.because.startswith("line 2: Invalid value")


def test_further_problems_of_a_table_are_counted() -> None:
    error = refused(APP + "[database]\nmemory_mib = 1\nconnections = 1\n")
    assert error.because.endswith("(1 more to mend after this one)")


def test_a_reserved_variable_is_refused() -> None:
    error = refused(APP + '[app.environment]\nMILLIONS_DIRECTORY = "x"\n')
    assert "MILLIONS_" in error.because


def test_a_variable_in_both_environment_and_secrets_is_refused() -> None:
    both = 'environment = { KEY = "a" }\nsecrets = { KEY = { env = "KEY" } }\n'
    assert "KEY stands in both" in refused(APP + both).because


def test_a_static_folder_outside_of_the_application_is_refused() -> None:
    assert "a folder inside the app" in refused(APP + 'static = "../secrets"\n').because


@pytest.mark.parametrize(("number", "instead"), [(8, 7), (10, 9), (11, 9)])
def test_a_rung_that_is_not_built_yet_is_refused(number: int, instead: int) -> None:
    error = refused(f"rung = {number}\n" + APP)
    assert error.because == "not yet: this version has the rungs 1, 2, 3, 4, 5, 6, 7, 9"
    assert error.try_ == f"rung = {instead}"


def test_a_rung_that_does_not_exist_is_refused() -> None:
    assert refused("rung = 12\n" + APP).because == "the rungs are 1 to 11"
