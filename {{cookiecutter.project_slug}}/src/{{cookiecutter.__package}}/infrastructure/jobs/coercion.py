"""Enum members, dataclass instances and pydantic models: plain data when stored, what a task declares when called."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import sys
import typing
from enum import Enum
from functools import cache
from itertools import chain, repeat
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from .errors import InvalidJobError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Arguments = tuple[tuple[Any, ...], dict[str, Any]]
    Coercion = Callable[[tuple[Any, ...], dict[str, Any]], Arguments]

logger = logging.getLogger(__name__)

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def coercion_for(function: Callable[..., Any]) -> Coercion | None:
    """Make what turns the stored arguments of a task into the Enum members, instances and models that it declares.

    None if it declares none. An annotation that cannot be resolved at run time, because its names are imported for the
    type checker only, counts as none: such an argument stays plain data. The first parameter, the context, is skipped.

    What it gives raises `InvalidJobError`, naming task and argument, when the stored data does not fit.
    """
    parameters = _parameters(function)[1:]
    adapters = {parameter.name: _adapter(function, parameter) for parameter in parameters}
    if not any(adapters.values()):
        return None
    targets = [(adapters[parameter.name], parameter.name) for parameter in parameters if parameter.kind in _POSITIONAL]
    variadic = {
        parameter.kind: (adapters.pop(parameter.name), f"*{parameter.name}")
        for parameter in parameters
        if parameter.kind in _VARIADIC
    }
    rest, (others, _) = (variadic.get(kind, (None, "")) for kind in _VARIADIC)
    task = getattr(function, "__qualname__", repr(function))

    def convert(adapter: TypeAdapter[Any] | None, argument: str, value: Any) -> Any:
        if adapter is None:
            return value
        try:
            return adapter.validate_python(value, strict=False)
        except Exception as error:
            raise InvalidJobError(f"{task}: argument {argument!r}: {_reason(error)}") from error

    def coerce(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        placed = zip(args, chain(targets, repeat(rest)), strict=False)
        return (
            tuple([convert(adapter, name, value) for value, (adapter, name) in placed]),
            {name: convert(adapters.get(name, others), name, value) for name, value in kwargs.items()},
        )

    return coerce


def stored_fields(value: Any) -> Iterator[tuple[str, str, Any]]:
    """Give each field of a dataclass instance or a model: attribute, name that its validation expects, value."""
    kind: Any = type(value)
    names = _stored_names(kind)
    # Read past the descriptors of a model's fields: a deprecated one would warn.
    held = vars(value) if isinstance(value, BaseModel) else {n: getattr(value, n) for n in names if hasattr(value, n)}
    for attribute, name in names.items():
        if attribute in held:
            yield attribute, name, held[attribute]
    for name, extra in (getattr(value, "__pydantic_extra__", None) or {}).items():
        yield name, name, extra


@cache
def _stored_names(kind: Any) -> dict[str, str]:
    config = getattr(kind, "model_config", None) or getattr(kind, "__pydantic_config__", None) or {}
    models = getattr(kind, "__pydantic_fields__", {})
    if not models or config.get("populate_by_name") or config.get("validate_by_name"):
        return {name: name for name in models or (field.name for field in dataclasses.fields(kind))}
    names = {}
    for name, field in models.items():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices):
            alias = next((choice for choice in alias.choices if isinstance(choice, str)), None)
        names[name] = alias if isinstance(alias, str) else name
    return names


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        if sys.version_info >= (3, 14):  # annotations are evaluated when they are asked for
            from annotationlib import Format  # noqa: PLC0415 - not there before

            return list(inspect.signature(function, annotation_format=Format.FORWARDREF).parameters.values())
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # compiled functions have none
        return []


def _adapter(function: Callable[..., Any], parameter: inspect.Parameter) -> TypeAdapter[Any] | None:
    if parameter.annotation is parameter.empty:
        return None
    namespace = getattr(inspect.unwrap(function), "__globals__", {})
    # One by one: a name that cannot be resolved hides only its own parameter.
    alone = SimpleNamespace(__annotations__={"it": parameter.annotation})
    try:
        annotation = typing.get_type_hints(alone, namespace, include_extras=True)["it"]
        if not _declares(annotation, {}):
            return None
    except Exception:  # noqa: BLE001 - an annotation may be anything at all
        return None
    try:
        try:
            return TypeAdapter(annotation)
        except PydanticUserError:  # another member of a union, say, is of a class that pydantic does not know
            return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except Exception as error:  # noqa: BLE001 - pydantic raises what it likes
        name = getattr(function, "__qualname__", function)
        logger.warning("%s: argument %r stays plain data: %s", name, parameter.name, _one_line(error))
        return None


def _declares(annotation: Any, seen: dict[int, Any]) -> bool:
    """Tell whether stored data must be converted to be of this type."""
    if id(annotation) in seen:
        return False
    seen[id(annotation)] = annotation  # held, so that no other object gets its id
    if isinstance(annotation, type) and (
        issubclass(annotation, (Enum, BaseModel)) or dataclasses.is_dataclass(annotation)
    ):
        return True
    parts = [typing.get_origin(annotation), *typing.get_args(annotation)]
    parts += [getattr(annotation, name, None) for name in ("__supertype__", "__value__", "__bound__")]
    if hasattr(annotation, "__required_keys__"):  # a TypedDict, of typing or of typing_extensions
        parts += typing.get_type_hints(annotation, include_extras=True).values()
    if parts[0] is typing.Literal:
        return any(isinstance(value, Enum) and isinstance(value, (str, int)) for value in parts[1:])
    return any(_declares(part, seen) for part in parts if part is not None)


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {_one_line(error)}"
    first, *more = error.errors(include_url=False, include_context=False, include_input=False)
    where = ".".join(map(str, first["loc"]))
    text = _one_line(f"{where}: {first['msg']}" if where else first["msg"])
    return f"{text} (and {len(more)} more)" if more else text


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
