"""Enum members, dataclass instances and models: plain data when stored, what the task declares when it is called."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, Literal, NewType, Optional

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, RootModel, field_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict  # before Python 3.12 pydantic takes no other

from {{ cookiecutter.__package }}.infrastructure.jobs.codec import coercion_for, deserialize, serialize
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import InvalidJobError

if TYPE_CHECKING:
    from collections.abc import Callable

    OnlyForTheTypeChecker = Enum


class Color(StrEnum):
    """A str as well."""

    RED = "red"


class Level(IntEnum):
    """An int as well."""

    LOW = 1


class Shape(Enum):
    """Neither; one value has no hash."""

    POINT = (0, 0)
    LINE = [1]  # noqa: RUF012


class Access(Flag):
    """Members can be combined."""

    READ = 1
    WRITE = 2


@dataclass(frozen=True, slots=True)
class Point:
    """Without a `__dict__`, and with a field that its constructor does not take."""

    x: int
    when: datetime
    shape: Shape = Shape.LINE
    norm: int = field(init=False, default=7)


class Address(BaseModel):
    """Strict, with an alias, more fields than it declares, and one whose descriptor warns."""

    model_config = ConfigDict(strict=True, extra="allow")

    street: str = Field(alias="streetName")
    level: Level = Level.LOW
    tags: set[Color] = set()
    old: int = Field(default=0, deprecated=True)


class User(BaseModel):
    """Nested, with a field that is left out of dumps."""

    name: str = Field(validation_alias=AliasChoices("name_", "n"), exclude=True)
    address: Address | None = None
    points: tuple[Point, ...] = ()
    price: Decimal = Decimal("1.10")


class ByName(BaseModel):
    """Takes the field's own name."""

    model_config = ConfigDict(populate_by_name=True)

    value: int = Field(alias="Value")


class Names(RootModel[list[str]]):
    """Is no dict when stored."""


@pydantic_dataclass
class Order:
    """A dataclass with an alias."""

    number: int = Field(alias="Number")


class Options(TypedDict):
    """A dict with values to convert."""

    color: Color
    nested: dict[str, list[Point]]


class Node(BaseModel):
    """Contains itself."""

    children: list[Node] = []


class Tree(TypedDict, total=False):
    """Contains itself, and only plain data."""

    children: list[Tree]
    size: int


class Opaque:
    """Nothing that pydantic knows."""


class Unknown(TypedDict):
    """Something to convert beside something that pydantic does not know."""

    color: Color
    opaque: Opaque


class Breaking(BaseModel):
    """Raises what pydantic does not catch."""

    x: int

    @field_validator("x")
    @classmethod
    def refuse(cls, _: int) -> int:
        """Raise."""
        raise RuntimeError("two\nlines")


UserId = NewType("UserId", Color)
POINT = Point(1, datetime(2024, 2, 29, tzinfo=UTC))
ADDRESS = Address.model_validate({"streetName": "Main St", "tags": {Color.RED}, "extra": 1}, strict=False)
USER = User.model_validate({"name_": "Ada", "address": ADDRESS, "points": (POINT,)})
ARGUMENTS: dict[str, Any] = {
    "color": Color.RED,
    "level": Level.LOW,
    "shape": Shape.LINE,
    "access": Access.READ | Access.WRITE,
    "point": POINT,
    "points": [POINT],
    "user": USER,
    "options": {"color": Color.RED, "nested": {"x": [POINT]}},
    "names": Names(["a"]),
    "by_name": ByName.model_validate({"value": 3}),
    "order": Order(Number=4),
    "user_id": Color.RED,
    "literal": Color.RED,
    "frozen": {POINT},
    "node": Node(children=[Node()]),
    "untouched": {"5": 5},
    "hidden": "5",
    "unknown": 5,
}


async def task(  # noqa: PLR0917
    ctx: OnlyForTheTypeChecker,
    color: Color,
    level: Optional[Level],  # noqa: UP045 - both forms of a union
    shape: Shape | None,
    access: Access,
    point: Point,
    points: list[Point] | Opaque,
    user: User,
    options: Options,
    names: Names,
    by_name: ByName,
    order: Order,
    user_id: UserId,
    literal: Literal[Color.RED],
    frozen: set[Point],
    node: Node,
    untouched: dict[str, int],
    hidden: OnlyForTheTypeChecker,
    unknown,
    *rest: Color,
    **others: Point,
) -> None: ...


def stored(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Give arguments as they come out of a payload."""
    payload = deserialize(serialize({"f": "task", "a": args, "k": kwargs}))
    return payload["a"], payload["k"]


def called(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Give the arguments that a task is called with after they have been stored."""
    coerce = coercion_for(function)
    assert coerce
    return coerce(*stored(*args, **kwargs))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_named_argument_is_what_the_task_declares(name: str) -> None:
    """Enum members, dataclass instances and models, also inside other types, come back as the annotation says."""
    _, kwargs = called(task, **{name: ARGUMENTS[name]})
    assert kwargs == {name: ARGUMENTS[name]}
    assert type(kwargs[name]) is type(ARGUMENTS[name])


def test_positional_arguments_are_what_the_task_declares() -> None:
    """Positional arguments count from the one after the context; those of `*rest` have its annotation."""
    args, kwargs = called(task, *ARGUMENTS.values(), Color.RED, Color.RED, another=POINT)
    assert list(args) == [*ARGUMENTS.values(), Color.RED, Color.RED]
    assert type(args[-1]) is Color
    assert kwargs == {"another": POINT}


def test_a_declared_argument_does_not_take_the_annotation_of_the_others() -> None:
    """A plain argument is not converted as `**others` are."""

    async def mixed(ctx: Any, name: str, **others: Color) -> None: ...

    _, kwargs = called(mixed, name="red", paint="red")
    assert [type(value) for value in kwargs.values()] == [str, Color]


def test_what_is_of_the_declared_class_already_stays_the_same_object() -> None:
    """Arguments that never were stored, as when a task is called without a queue, pass."""
    coerce = coercion_for(task)
    assert coerce
    assert coerce((), {"user": USER})[1]["user"] is USER


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Color.RED, "red"),
        (Level.LOW, 1),
        (Shape.POINT, (0, 0)),
        (Names(["a"]), ["a"]),
        (POINT, {"x": 1, "when": POINT.when, "shape": [1], "norm": 7}),
        (ADDRESS, {"streetName": "Main St", "level": 1, "tags": {"red"}, "old": 0, "extra": 1}),
        (Node.model_construct(), {"children": []}),
        ({Color.RED: Level.LOW}, {"red": 1}),
    ],
    ids=repr,
)
def test_without_an_annotation_it_is_plain_data(value: Any, plain: Any) -> None:
    """Where nothing declares more, as in a result, an instance is its fields and an Enum member its value."""
    (restored,), _ = stored(value)
    assert restored == plain
    assert type(restored) is type(plain)
    assert [*map(type, restored)] == [*map(type, plain)] if isinstance(plain, (dict, list)) else True


def test_a_field_that_was_never_set_is_left_out() -> None:
    """An instance without one of its declared attributes is stored without it."""
    point = object.__new__(Point)
    object.__setattr__(point, "x", 1)
    assert stored(point) == (({"x": 1, "norm": 7} if hasattr(point, "norm") else {"x": 1},), {})


async def plain(ctx: dict[str, Any], name: str, count: int | None, when: datetime, **others: Any) -> None: ...
async def recursive(ctx: dict[str, Any], tree: Tree, level: Literal["a", 1]) -> None: ...
async def hidden(ctx: dict[str, Any], user: OnlyForTheTypeChecker) -> None: ...
async def bare() -> None: ...


async def odd(ctx: dict[str, Any], user: Any) -> None: ...


odd.__annotations__["user"] = "no type at all"


@pytest.mark.parametrize("function", [plain, recursive, hidden, odd, bare, len, dict, functools.partial(bare)])
def test_a_task_that_declares_plain_data_needs_no_conversion(function: Callable[..., Any]) -> None:
    """Plain, recursive, unresolvable and missing annotations cost nothing and never raise."""
    assert coercion_for(function) is None


def test_a_declared_type_that_pydantic_cannot_build_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Such an argument stays plain data, and one line at start says so."""

    async def unbuildable(ctx: Any, value: Unknown) -> None: ...

    with caplog.at_level(logging.WARNING):
        assert coercion_for(unbuildable) is None
    (line,) = caplog.messages
    assert "unbuildable: argument 'value' stays plain data: " in line
    assert "\n" not in line


def test_data_that_does_not_fit_names_task_argument_and_reason() -> None:
    """Stored data that the annotation refuses is an `InvalidJobError` of one line."""
    with pytest.raises(InvalidJobError) as caught:
        called(task, user={"name_": 5, "price": "cheap"})
    assert str(caught.value) == "task: argument 'user': name_: Input should be a valid string (and 1 more)"
    with pytest.raises(InvalidJobError, match=r"^task: argument 'color': Input should be 'red'$"):
        called(task, "blue")
    with pytest.raises(InvalidJobError, match=r"^task: argument '\*rest': Input should be 'red'$"):
        called(task, *ARGUMENTS.values(), "blue")


def test_a_validator_that_breaks_names_task_and_argument() -> None:
    """Whatever a validator raises becomes an `InvalidJobError` of one line."""

    async def breaking(ctx: Any, value: Breaking) -> None: ...

    with pytest.raises(InvalidJobError, match=r"breaking: argument 'value': RuntimeError: two lines$"):
        called(breaking, value={"x": 1})
