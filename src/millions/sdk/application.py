"""Finds the user's application by its name, `module:attribute`.

When it does not import, the traceback printed is the application's: neither our frames nor those
of the import machinery are in it.
"""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType, TracebackType

STATUS = 3
"""Exit status of the web process when the application cannot be had."""

OURS = str(Path(__file__).parent)
_NOT_THEIRS = ("<frozen importlib", "importlib/__init__.py")


class ApplicationError(Exception):
    """The application cannot be had; `text` is the whole of what to print."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def load(target: str) -> Any:
    """Import `target`. Raise ApplicationError, whose last line says what to mend."""
    module_name, colon, attribute = target.partition(":")
    if not (module_name and colon and attribute):
        raise ApplicationError(
            _say(f"load {target!r}", "it is not of the form module:attribute", '"main:app"')
        )
    found: Any = load_module(module_name)
    for name in attribute.split("."):
        if not hasattr(found, name):
            near = ", ".join(_applications(found)) or "define it there"
            raise ApplicationError(
                _say(f"load {target!r}", f"{module_name} has no attribute {name!r}", near)
            )
        found = getattr(found, name)
    if not callable(found):
        because = f"it is {type(found).__name__!r}, which cannot be called"
        raise ApplicationError(_say(f"load {target!r}", because, "name an ASGI application"))
    return found


def load_module(name: str) -> ModuleType:
    """Import module `name`. Raise ApplicationError."""
    try:
        return import_module(name)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise ApplicationError(_import_failed(name, error)) from error


def _import_failed(module_name: str, error: BaseException) -> str:
    if (
        isinstance(error, ModuleNotFoundError)
        and error.name
        and (module_name == error.name or module_name.startswith(error.name + "."))
        and not _theirs(error.__traceback__)
    ):
        return _say(
            f"import {module_name}",
            f"there is no module {error.name!r} in {Path.cwd()} or on the Python path",
            "[app] web in millions.toml names the module as seen from its own folder",
        )
    said = traceback.format_exception_only(error)[-1].strip()
    return theirs(error) + _say(f"import {module_name}", said, _where(error))


def theirs(error: BaseException) -> str:
    """Write `error` as Python would, without frames that are not the application's."""
    shown = traceback.TracebackException.from_exception(error)
    seen: set[int] = set()
    queue: list[traceback.TracebackException | None] = [shown]
    while queue:
        each = queue.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        frames = [frame for frame in each.stack if not _not_theirs(frame.filename)]
        each.stack = traceback.StackSummary.from_list(frames)
        queue += [each.__cause__, each.__context__]
    return "".join(shown.format())


def _not_theirs(filename: str) -> bool:
    return filename.startswith(OURS) or any(part in filename for part in _NOT_THEIRS)


def _theirs(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    return [each for each in traceback.extract_tb(trace) if not _not_theirs(each.filename)]


def _where(error: BaseException) -> str:
    """Say which line to look at: the last one of the application's own."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"mend line {error.lineno} of {error.filename}"
    frames = [frame for frame in _theirs(error.__traceback__) if not _installed(frame.filename)]
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        return f"install what brings the module {top!r}, or mend the import"
    if not frames:
        return "mend what the traceback above names"
    return f"mend line {frames[-1].lineno} of {frames[-1].filename}"


def _installed(filename: str) -> bool:
    return "site-packages" in filename or filename.startswith(sys.base_prefix + "/lib")


def _applications(module: Any) -> list[str]:
    """Answer names in `module` that look like applications, for the error's last line."""
    module_name = getattr(module, "__name__", "")
    return [
        f'"{module_name}:{name}"'
        for name in ("app", "application", "asgi")
        if callable(getattr(module, name, None))
    ]


def _say(cannot: str, because: str, try_: str) -> str:
    return f"cannot {cannot}\n  because: {because}\n  try: {try_}\n"
