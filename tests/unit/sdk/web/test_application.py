"""An application that cannot be had says why in its own traceback, and what to mend at the end."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from millions.sdk import application
from millions.sdk.application import ApplicationError

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)

    def written(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        for module in set(sys.modules) - known:
            del sys.modules[module]

    return written


def said(target: str) -> str:
    with pytest.raises(ApplicationError) as failed:
        application.load(target)
    return failed.value.text


def test_an_application_is_found_by_its_name(write: Write) -> None:
    write("shop_a", "class Site:\n    async def app(self, *_): ...\nsite = Site()\n")
    assert callable(application.load("shop_a:site.app"))


def test_the_traceback_is_the_applications_alone(write: Write) -> None:
    write("shop_b", "def setup():\n    raise ValueError('no colour')\n\nsetup()\napp = 1\n")
    text = said("shop_b:app")
    assert text.startswith("Traceback (most recent call last):\n  File ")
    assert "shop_b.py" in text.splitlines()[1]
    assert "millions" not in text.partition("cannot import")[0]
    assert "importlib" not in text
    assert text.splitlines()[-3:-1] == ["cannot import shop_b", "  because: ValueError: no colour"]
    assert text.splitlines()[-1].startswith("  try: mend line 2 of /")


def test_causes_are_shown_without_our_frames_too(write: Write) -> None:
    write(
        "shop_c",
        "try:\n    import no_such_thing_here\nexcept ImportError as error:\n"
        "    raise RuntimeError('cannot go on') from error\n",
    )
    text = said("shop_c:app")
    assert "No module named 'no_such_thing_here'" in text
    assert "The above exception was the direct cause" in text
    assert "importlib" not in text


def test_a_syntax_error_names_its_line(write: Write) -> None:
    write("shop_d", "x = 1\ndef broken(:\n    pass\n")
    text = said("shop_d:app")
    assert "def broken(:" in text
    assert text.splitlines()[-1].startswith("  try: mend line 2 of ")


def test_a_module_that_is_missing_inside_says_what_to_install(write: Write) -> None:
    write("shop_e", "import pillow_of_another_name.Image\n")
    assert said("shop_e:app").splitlines()[-1] == (
        "  try: install what brings the module 'pillow_of_another_name', or mend the import"
    )


def test_a_module_that_is_not_there_has_no_traceback() -> None:
    text = said("no_shop_at_all.web:app")
    assert "Traceback" not in text
    assert "there is no module 'no_shop_at_all'" in text


def test_exiting_while_being_imported_is_an_error_of_the_application(write: Write) -> None:
    write("shop_f", "import sys\nsys.exit('bad settings')\n")
    assert "because: SystemExit: bad settings" in said("shop_f:app")


def test_another_name_of_the_application_is_suggested(write: Write) -> None:
    write("shop_g", "async def app(scope, receive, send): ...\n")
    assert said("shop_g:api").splitlines()[-1] == '  try: "shop_g:app"'


@pytest.mark.parametrize("target", ["shop", "shop:", ":app", ""])
def test_a_name_of_another_form_is_refused(target: str) -> None:
    assert "module:attribute" in said(target)


def test_something_that_cannot_be_called_is_no_application(write: Write) -> None:
    write("shop_h", "app = {}\n")
    assert "it is 'dict', which cannot be called" in said("shop_h:app")
