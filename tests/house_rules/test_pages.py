"""STYLE 10 and 22: pages come from the declarations; what documents tell one to type exists."""

from __future__ import annotations

import ast
import importlib.util
import re
import tomllib
from functools import cache
from typing import TYPE_CHECKING

import click
import pytest
from tree import ROOT, files, none, shown

from millions import stack
from millions.cli.main import VERBS, group

if TYPE_CHECKING:
    from types import ModuleType

BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
SHELL = {"", "sh", "bash", "console", "shell"}
MILLIONS = re.compile(
    r"^(?:\$ )?(?:\.venv/bin/)?millions((?: +-C +\S+)?) +(\S+)(.*)$", re.MULTILINE
)
MAKE = re.compile(r"^(?:\$ )?make +([a-z]+)", re.MULTILINE)
OPTION = re.compile(r"(?<=\s)--?[a-z][a-z-]*")
NOT_OURS = {"run", "sql"}
"""Verbs whose arguments are another program's."""


@cache
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts/reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(*languages: str) -> list[tuple[str, str]]:
    return [
        (shown(path), text)
        for path in files(".md")
        for language, text in BLOCK.findall(path.read_text(encoding="utf-8"))
        if language in languages
    ]


@pytest.mark.parametrize("name", list(reference().generated()))
def test_a_generated_file_is_what_the_declarations_say(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == reference().generated()[name], (
        "scripts/reference.py writes it anew"
    )


def test_the_verbs_say_in_the_list_what_they_say_themselves() -> None:
    for verb, said in VERBS.items():
        command = group.get_command(click.Context(group), verb)
        assert command is not None
        assert (command.help or "").partition("\n")[0] == said


def test_every_command_in_the_documents_exists_with_its_options() -> None:
    wrong = []
    for page, text in blocks(*SHELL):
        if page.startswith("docs/reference/"):
            continue
        for _, verb, rest in MILLIONS.findall(text):
            command = group.get_command(click.Context(group), verb)
            if command is None:
                wrong.append(f"{page}: millions {verb}")
            elif verb not in NOT_OURS:
                meant = inner(command, rest)
                known = {name for each in meant.params for name in each.opts} | {"--help", "-h"}
                said = rest.partition("#")[0]
                wrong += [
                    f"{page}: {verb} {each}" for each in OPTION.findall(said) if each not in known
                ]
    none(wrong)


def test_every_option_says_what_it_means() -> None:
    def mute(command: click.Command, name: str) -> list[str]:
        found = [
            f"{name} {each.opts[0]}"
            for each in command.params
            if isinstance(each, click.Option) and not each.help
        ]
        for verb in command.list_commands(ctx) if isinstance(command, click.Group) else ():
            below = command.get_command(ctx, verb)
            assert below is not None
            found += mute(below, f"{name} {verb}")
        return found

    ctx = click.Context(group)
    none(mute(group, "millions"))


def inner(command: click.Command, rest: str) -> click.Command:
    """The command that a line means: one inside a group where it goes on with one."""
    if not isinstance(command, click.Group):
        return command
    name = next(iter(rest.split()), "")
    found = command.get_command(click.Context(command), name)
    assert found is not None, f"there is no {command.name} {name}"
    return found


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z ]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    names = {name for target in targets for name in target.split()}
    wrong = [
        f"{page}: make {name}"
        for page, text in blocks(*SHELL)
        for name in MAKE.findall(text)
        if name not in names
    ]
    none(wrong)


def test_every_stack_file_in_the_documents_reads() -> None:
    for page, text in blocks("toml"):
        if "[app]" in text:
            stack.parse(text, source=page)
        else:
            tomllib.loads(text)


def test_every_python_block_in_the_documents_compiles() -> None:
    for page, text in blocks("python", "py"):
        compile(text, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_every_link_between_documents_leads_somewhere() -> None:
    link = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
    lost = [
        f"{shown(path)}: {target}"
        for path in files(".md")
        for target in link.findall(re.sub(BLOCK, "", path.read_text(encoding="utf-8")))
        if not (path.parent / target).exists()
    ]
    none(lost)
