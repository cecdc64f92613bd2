"""Naming: the key and tags of each call of one cached function. Lean for calls by position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millions.sdk.cache.keys import Call, Template, check_complete, check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from millions.sdk.cache.keys import Arguments


class Naming:
    """Says under which names the answer of a call is kept.

    `shape` is what no two functions may share, None where the key is a function.
    """

    __slots__ = ("_call", "_tags", "key_of", "owner", "shape", "text")

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        key: str | Callable[..., str],
        tags: Sequence[str],
        ignore: Collection[str],
    ) -> None:
        self._call = Call(function)
        parameters = self._call.parameters
        self._tags = tuple(Template(tag, parameters).compiled() for tag in tags)
        self.owner = f"{function.__module__}.{function.__qualname__}"
        self.shape: str | None = None
        if isinstance(key, str):
            template = Template(key, parameters)
            check_complete(function, template, self._call, ignore)
            self.text, self.shape = key, template.shape()
            self.key_of = self._by_template(template)
        else:
            self.text = getattr(key, "__qualname__", repr(key))
            self.key_of = _by_function(key)

    def tags_of(self, args: Arguments, kwargs: Mapping[str, Any]) -> list[str]:
        """The tags of a call's answer."""
        if not self._tags:
            return []
        values = self._call.values(args, kwargs)
        return [check_name(tag(values)) for tag in self._tags]

    def _by_template(self, template: Template) -> Callable[[Arguments, Mapping[str, Any]], str]:
        render, values_of = template.compiled(), self._call.values
        arity = self._call.arity

        def key_of(args: Arguments, kwargs: Mapping[str, Any]) -> str:
            if not kwargs and len(args) == arity:
                return render(args)
            return render(values_of(args, kwargs))

        return key_of


def _by_function(
    key: Callable[..., str],
) -> Callable[[Arguments, Mapping[str, Any]], str]:
    def key_of(args: Arguments, kwargs: Mapping[str, Any]) -> str:
        return key(*args, **kwargs)

    return key_of
