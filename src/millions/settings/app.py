"""The table [app]: the application itself, whatever it runs on."""

from __future__ import annotations

import re
import shlex
from typing import Any, Self

from pydantic import field_validator, model_validator

from millions.settings.declaration import REQUIRED, Table, setting

NAME = re.compile(r"[a-z][a-z0-9-]{0,38}[a-z0-9]")
"""At most 40 characters: a name becomes part of folder names and of unix socket paths."""

IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED_PREFIXES = ("MILLIONS_", "LD_")
"""What the runtime sets itself, and what would change the programs it starts."""

MIGRATE_S = (1, 86_400)


class SecretReference(Table):
    """Where a secret is kept outside of the stack file: a file, or a variable of your shell."""

    file: str = setting("", "A file that holds the secret; relative to the stack file.")
    env: str = setting("", "An environment variable that holds it when you run `millions up`.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.file) == bool(self.env):
            raise ValueError('either { file = "…" } or { env = "NAME" }')
        return self


class App(Table):
    """Your application: where it is imported from and what belongs to it."""

    name: str = setting(
        REQUIRED,
        "Name of the stack: small letters, digits and hyphens; 2 to 40 characters.",
        example="photos",
    )
    web: str = setting(
        REQUIRED,
        "Your ASGI application, as module:attribute; its folder is importable.",
        example="photos.web:app",
    )
    folder: str = setting(
        "",
        "Folder of the application, when it is another than that of this file. A release is a copy "
        "of it.",
        example="photos",
    )
    tasks: str = setting(
        "",
        "Module to import in the web process so that your tasks are declared, when the "
        "application does not import it itself.",
        example="photos.tasks",
    )
    static: str = setting(
        "",
        "Folder of your style sheets, scripts and pictures, inside the application; each is served "
        "under a name that holds its hash.",
        example="photos/static",
    )
    migrate: str = setting(
        "",
        "Command that is run once per release, before the release starts; it is split as a shell "
        "would, but run without one.",
        example="alembic upgrade head",
    )
    migrate_within_s: int = setting(
        600,
        "How long the migration may take; a release whose migration takes longer has failed.",
        unit="seconds",
        bounds=MIGRATE_S,
    )
    exclude: list[str] = setting(
        [],
        "Names or patterns of files that are left out of a release, beside .git, .venv, "
        "node_modules and caches.",
        example=["*.sqlite3", "notes"],
    )
    environment: dict[str, str] = setting(
        {}, "Environment variables of your application.", example={"LANGUAGE": "en"}
    )
    secrets: dict[str, SecretReference] = setting(
        {},
        "Environment variables whose values do not stand in this file.",
        example={"STRIPE_KEY": {"file": "stripe.key"}},
    )

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError("2 to 40 small letters, digits and hyphens, beginning with a letter")
        return value

    @field_validator("web")
    @classmethod
    def _web(cls, value: str) -> str:
        module, _, attribute = value.partition(":")
        if not (IMPORT_PATH.fullmatch(module) and IMPORT_PATH.fullmatch(attribute)):
            raise ValueError('module:attribute, such as "photos.web:app"')
        return value

    @field_validator("tasks")
    @classmethod
    def _tasks(cls, value: str) -> str:
        if value and not IMPORT_PATH.fullmatch(value):
            raise ValueError('the name of a module, such as "photos.tasks"')
        return value

    @field_validator("static", "folder")
    @classmethod
    def _static(cls, value: str) -> str:
        if value.startswith("/") or ".." in value.split("/"):
            raise ValueError("a folder inside the application's")
        return value

    @field_validator("migrate")
    @classmethod
    def _migrate(cls, value: str) -> str:
        try:
            shlex.split(value)
        except ValueError as error:
            raise ValueError(f"a command that a shell could split ({error})") from error
        return value

    @field_validator("environment", "secrets")
    @classmethod
    def _environment(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not ENVIRONMENT_NAME.fullmatch(name):
                raise ValueError(f"names of letters, digits and underscores, which {name!r} is not")
            if name.startswith(RESERVED_PREFIXES):
                raise ValueError(f"names that do not begin with MILLIONS_ or LD_, as {name} does")
        return value

    @model_validator(mode="after")
    def _no_name_twice(self) -> Self:
        both = sorted(self.environment.keys() & self.secrets.keys())
        if both:
            raise ValueError(f"{both[0]} stands in both environment and secrets: remove one")
        return self
