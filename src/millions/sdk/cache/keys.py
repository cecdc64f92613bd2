"""Keys: turns the arguments of a call into the name of its cache entry.

A template such as `user:{id}` names every parameter that the answer depends on; what it leaves out
must be listed in `ignore`, because a forgotten one would give one user's data to another. Two
different calls never share a key: text is escaped where it holds `:` or `%`.
"""

from __future__ import annotations

import inspect
from datetime import date
from enum import Enum
from operator import attrgetter
from string import Formatter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from millions.errors import SdkError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

Arguments = tuple[Any, ...]

KEY_CHARACTERS_MAX = 512
"""Names travel in notifications, whose size is bounded."""


class Call:
    """Puts the arguments of a call to `function` in the order of its parameters."""

    __slots__ = ("_arity", "_defaults", "_positional", "_signature", "_tails", "parameters")

    def __init__(self, function: Callable[..., Any]) -> None:
        self._signature = inspect.signature(function)
        self.parameters = tuple(self._signature.parameters)
        self._arity = len(self.parameters)
        self._positional = sum(
            each.kind is not each.KEYWORD_ONLY for each in self._signature.parameters.values()
        )
        self._defaults = self._plain_defaults()
        self._tails = self._defaults_by_count()

    @property
    def arity(self) -> int:
        """That many arguments by position are a whole call; -1 when no number of them is."""
        return self._arity if self._defaults is not None and self._positional == self._arity else -1

    def values(self, args: Arguments, kwargs: Mapping[str, Any]) -> Arguments:
        """The value of every parameter. Raise TypeError as the call itself would."""
        if not kwargs:
            if len(args) == self.arity:
                return args
            tail = self._tails.get(len(args))
            if tail is not None:
                return args + tail
        quick = self._by_name(args, kwargs)
        if quick is not None:
            return quick
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return tuple(bound.arguments.values())

    def _by_name(self, args: Arguments, kwargs: Mapping[str, Any]) -> Arguments | None:
        """The values where every keyword names a parameter; None when it takes a closer look."""
        if self._defaults is None or len(args) > self._positional:
            return None
        values = list(args)
        taken = 0
        for name in self.parameters[len(args) :]:
            if name in kwargs:
                values.append(kwargs[name])
                taken += 1
            elif name in self._defaults:
                values.append(self._defaults[name])
            else:
                return None
        return tuple(values) if taken == len(kwargs) and len(values) == self._arity else None

    def _plain_defaults(self) -> dict[str, Any] | None:
        """The defaults, where every parameter can be given by name."""
        parameters = self._signature.parameters.values()
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        if any(each.kind not in named for each in parameters):
            return None
        return {each.name: each.default for each in parameters if each.default is not each.empty}

    def _defaults_by_count(self) -> dict[int, Arguments]:
        """What to append to that many positional arguments, where defaults fill the rest."""
        tails: dict[int, Arguments] = {}
        tail: Arguments = ()
        for count in range(self._arity - 1, -1, -1):
            if self._defaults is None or self.parameters[count] not in self._defaults:
                break
            tail = (self._defaults[self.parameters[count]], *tail)
            if count <= self._positional:
                tails[count] = tail
        return tails


class Template:
    """`user:{id}` as a function of the values of a call."""

    __slots__ = ("_fields", "_literals", "fields", "text")

    def __init__(self, text: str, parameters: Sequence[str]) -> None:
        self.text = text
        self._literals: list[str] = [""]
        self._fields: list[tuple[int, Callable[[Any], Any] | None]] = []
        self.fields: set[str] = set()
        for literal, field, spec, conversion in Formatter().parse(text):
            self._literals[-1] += literal
            if field is None:
                continue
            if spec or conversion:
                raise _template_error(text, f"{{{field}}} has a format, which keys do not take")
            self._add_field(field, parameters)

    def _add_field(self, field: str, parameters: Sequence[str]) -> None:
        name, _, path = field.partition(".")
        if name not in parameters:
            raise _template_error(
                self.text, f"{name!r} is not a parameter; there are: {', '.join(parameters)}"
            )
        if self._fields and ":" not in self._literals[-1]:
            raise _template_error(
                self.text, f"nothing keeps {{{field}}} apart from the field before it: write a ':'"
            )
        self.fields.add(name)
        self._fields.append((parameters.index(name), attrgetter(path) if path else None))
        self._literals.append("")

    def shape(self) -> str:
        """The template without the names of its fields: what two functions must not share."""
        return "{}".join(self._literals)

    def compiled(self) -> Callable[[Arguments], str]:
        """A function from the values of a call to the key, lean for a single field."""
        if len(self._fields) == 1 and self._fields[0][1] is None:
            index = self._fields[0][0]
            prefix, suffix = self._literals

            def single(values: Arguments) -> str:
                value = values[index]
                text = str(value) if value.__class__ is int else rendered(value)
                return prefix + text + suffix

            return single
        return self._general

    def _general(self, values: Arguments) -> str:
        parts = [self._literals[0]]
        for (index, path), literal in zip(self._fields, self._literals[1:], strict=True):
            value = values[index] if path is None else path(values[index])
            parts.append(str(value) if value.__class__ is int else rendered(value))
            parts.append(literal)
        return "".join(parts)


def rendered(value: Any) -> str:
    """`value` as a part of a key. Raise SdkError for a type that has no such text."""
    kind = value.__class__
    if kind is str:
        return escaped(value)
    if kind is UUID or kind is int:
        return str(value)
    if value is None or kind is bool:
        return f"%{value}".lower()
    if isinstance(value, Enum):
        return rendered(value.value)
    if isinstance(value, date):
        return escaped(value.isoformat())
    if isinstance(value, (str, int, UUID)):  # the driver has a UUID of its own
        return escaped(str(value))
    raise SdkError(
        cannot=f"use a {kind.__qualname__} as part of a cache key",
        because="keys are made of text, integers, UUIDs, dates, enumerations, booleans and None",
        try_="key=lambda thing: f'thing:{thing.id}', or a field such as {thing.id}",
    )


def escaped(text: str) -> str:
    """`text` without `:`, so that two parts of a key cannot be taken for other two."""
    if ":" in text or "%" in text:
        return text.replace("%", "%25").replace(":", "%3A")
    return text


def check_name(name: str) -> str:
    """Return `name`. Raise SdkError when it cannot be the name of an entry or tag."""
    if 0 < len(name) <= KEY_CHARACTERS_MAX and "\0" not in name and (name.isascii() or _sane(name)):
        return name
    raise SdkError(
        cannot=f"use {name[:40]!a} as a name in the cache",
        because=f"it has {len(name)} characters; names have 1 to {KEY_CHARACTERS_MAX}, "
        "and no NUL or half of a pair",
        try_="a hash of the long part, such as hashlib.sha256(query).hexdigest()",
    )


def _sane(name: str) -> bool:
    """Whether UTF-8 can say it."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def check_complete(
    function: Callable[..., Any], template: Template, call: Call, ignore: Collection[str]
) -> None:
    """Raise SdkError when the answer may depend on a parameter that the key leaves out."""
    missing = [
        name for name in call.parameters if name not in template.fields and name not in ignore
    ]
    if missing:
        raise SdkError(
            cannot=f"cache {function.__qualname__} under {template.text!r}",
            because=f"the key leaves out {', '.join(missing)}: calls that differ in it would "
            "get each other's answers",
            try_=f"name it in the key, or ignore={missing!r} when the answer does not depend on it",
        )


def _template_error(text: str, because: str) -> SdkError:
    return SdkError(
        cannot=f"use {text!r} as a cache key",
        because=because,
        try_='key="user:{id}" with the names of parameters, or a function that returns the key',
    )
