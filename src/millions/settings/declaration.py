"""How a setting is declared: default, bounds, unit and sentence, once.

Never reads a file; the parser and the pages are made from what stands here.
Source: kamal `configuration/docs`, uv's settings macro.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticUndefined

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

REQUIRED: Any = PydanticUndefined
"""The default of a setting that has none."""

TYPE_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text in quotes",
}


class Table(BaseModel):
    """One table of the stack file. Subclasses declare settings; their docstring says what for."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One setting as declared. `default` and `example` are values as TOML would hold them."""

    key: str
    sentence: str
    type_words: str
    default: Any
    example: Any
    required: bool
    unit: str
    lowest: float | None
    highest: float | None

    @property
    def accepts(self) -> str:
        """What may stand there, in words: `a whole number from 64 to 1024 MiB`."""
        words = self.type_words
        if self.lowest is not None and self.highest is not None:
            words += f" from {self.lowest} to {self.highest}"
        return f"{words} {self.unit}".strip()


def setting(
    default: Any,
    sentence: str,
    *,
    unit: str = "",
    bounds: tuple[float, float] | None = None,
    example: Any = None,
) -> Any:
    """Declare a setting: `bounds` are the lowest and highest value accepted, both included.

    `example` is what the annotated file shows when the default would not say enough.
    """
    lowest, highest = bounds or (None, None)
    extra = {"unit": unit, "example": example, "lowest": lowest, "highest": highest}
    return Field(default, ge=lowest, le=highest, description=sentence, json_schema_extra=extra)


def declared(table: type[Table]) -> tuple[Declared, ...]:
    """Answer the settings of `table` in the order of their declaration."""
    return tuple(_declared(key, field) for key, field in table.model_fields.items())


def _declared(key: str, field: FieldInfo) -> Declared:
    extra = cast("dict[str, Any]", field.json_schema_extra or {})
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    example = extra.get("example")
    return Declared(
        key=key,
        sentence=field.description or "",
        type_words=_type_words(field.annotation),
        default=default,
        example=default if example is None else example,
        required=field.is_required(),
        unit=cast("str", extra.get("unit", "")),
        lowest=cast("float | None", extra.get("lowest")),
        highest=cast("float | None", extra.get("highest")),
    )


def _type_words(annotation: Any) -> str:
    origin: object = get_origin(annotation)
    arguments = get_args(annotation)
    if origin is list:
        return "a list, each " + _type_words(arguments[0])
    if origin is Literal:
        return " or ".join(f'"{each}"' for each in arguments)
    if origin is dict:
        return "a table, each value " + _type_words(arguments[1])
    if isinstance(annotation, type) and issubclass(annotation, Table):
        keys = " or ".join(f'{{ {each.key} = "…" }}' for each in declared(annotation))
        return f"a table {keys}"
    return TYPE_WORDS.get(cast("Any", annotation), "something else")
