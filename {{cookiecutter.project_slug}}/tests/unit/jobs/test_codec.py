"""The codec: everything comes back equal, what cannot be stored is refused, and no bytes do harm."""

from __future__ import annotations

import functools
import pickle
import sys
import traceback
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from arq.jobs import deserialize_job, deserialize_result, serialize_job, serialize_result
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from {{ cookiecutter.__package }}.infrastructure.jobs import codec
from {{ cookiecutter.__package }}.infrastructure.jobs.codec import deserialize, serialize
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import UnreadableError, UnserializableError

if TYPE_CHECKING:
    from collections.abc import Callable


class Opaque:
    """Has no stored form."""


class Text(str):
    """Would come back as a str."""

    __slots__ = ()


class Number(int):
    """Would come back as an int."""


class Zone(tzinfo):
    """Is known to nobody else."""

    utcoffset = dst = tzname = lambda *_: None


class OwnId(UUID):
    """As asyncpg gives them."""


@dataclass(frozen=True)
class Point:
    """Can be a key in Python."""

    x: int


class Node(BaseModel):
    """Can contain itself, or anything."""

    children: list[Any] = []


def job(**kwargs: Any) -> dict[str, Any]:
    """Make a payload as arq does."""
    return {"t": None, "f": "send_email", "a": (), "k": kwargs, "et": 1_700_000_000_000}


def stored(value: Any) -> Any:
    """Give a value as it comes back."""
    return deserialize(serialize(job(value=value)))["k"]["value"]


def same(value: Any) -> Any:
    """Give what two values share if, and only if, they are alike in type and content, at any depth."""
    kind = type(value)
    content: Any = repr(value)  # tells 1 from True and from 1.0, and says `nan` of each
    if kind in {list, tuple}:
        content = tuple(map(same, value))
    elif kind is dict:
        content = tuple((same(key), same(item)) for key, item in value.items())
    elif kind in {set, frozenset}:
        content = frozenset(map(same, value))
    return (kind, content)


ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"]
offsets = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)).map(timezone)
zones: st.SearchStrategy[tzinfo] = st.sampled_from(ZONES).map(ZoneInfo) | offsets | st.just(UTC)
text = st.text()  # without surrogates
hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | text
    | st.binary()
    | st.datetimes(timezones=st.none() | zones, allow_imaginary=True)
    | st.dates()
    | st.times(timezones=st.none() | zones)
    | st.timedeltas()
    | st.decimals().filter(lambda number: not number.is_snan())
    | st.uuids(),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4),
    max_leaves=8,
)
values = st.recursive(
    hashable | st.just(Decimal("sNaN")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.dictionaries(text, inner, max_size=4)
        | st.sets(hashable, max_size=4)
    ),
    max_leaves=20,
)
#: A slow machine is no failure.
property_settings = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@property_settings
@given(values)
@example(2**63)
@example(-(2**63) - 1)
@example(2**64)
@example(float("nan"))
@example(-0.0)
@example(Decimal("-sNaN42"))
@example(datetime(2025, 10, 26, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")))
@example(time(2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")))
@example(datetime(1900, 1, 1, tzinfo=timezone(timedelta(hours=-5, minutes=-17, seconds=-32, microseconds=7))))
@example({1: "int", "1": "str", None: [], (1, b"x"): {frozenset({1}): ()}, float("nan"): 0})
def test_every_supported_value_comes_back_alike(value: Any) -> None:
    """A value of the supported types, at any depth, comes back with the same types and contents."""
    assert same(stored(value)) == same(value)


@property_settings
@given(st.lists(values, max_size=4).map(tuple), st.dictionaries(text, values, max_size=4))
def test_payload_and_result_go_through_arq(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """With the codec as arq's serializer, jobs and results read as arq's own do; positional arguments are a tuple."""
    payload = serialize_job("task", args, kwargs, 2, 1_700_000_000_000, serializer=serialize)
    call = deserialize_job(payload, deserializer=deserialize)
    assert same((call.function, call.args, call.kwargs, call.job_try)) == same(("task", args, kwargs, 2))

    times, success = (1, 2, 3), True
    raw = serialize_result(
        "task", args, kwargs, 2, times[0], success, args, *times[1:], "ref", "queue", "id", serializer=serialize
    )
    assert raw is not None
    result = deserialize_result(raw, deserializer=deserialize)
    assert same((result.args, result.kwargs, result.result)) == same((args, kwargs, args))


def test_a_zone_stays_the_zone() -> None:
    """An aware datetime keeps the key of its zone, so adding a day still respects daylight saving."""
    before = datetime(2025, 10, 25, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    after = stored(before)
    assert after.tzinfo is before.tzinfo
    assert (after + timedelta(days=1)).utcoffset() == timedelta(hours=1)


def test_a_uuid_of_any_class_comes_back_equal() -> None:
    """Drivers have UUID classes of their own; an id of theirs is an id."""
    assert same(stored(OwnId(int=1))) == same(UUID(int=1))


def test_other_keys_of_a_payload_are_kept() -> None:
    """Keys that arq does not know come back too."""
    assert deserialize(serialize({**job(), "trace": {"id": b"\x00"}}))["trace"] == {"id": b"\x00"}


def test_plain_messagepack_is_a_job() -> None:
    """A payload written by any other MessagePack library can be read."""
    payload = deserialize(msgspec.msgpack.encode({"f": "task", "a": [1], "k": {"x": [None, 2.5]}}))
    assert payload == {"f": "task", "a": (1,), "k": {"x": [None, 2.5]}}


def cyclic(container: Any, add: Callable[[Any], Any]) -> Any:
    """Put a container into itself."""
    add(container)
    return container


def nested(levels: int, wrap: Callable[[Any], Any] = lambda inner: [inner]) -> Any:
    """Wrap a number so often."""
    value: Any = 1
    for _ in range(levels):
        value = wrap(value)
    return value


LIST: list[Any] = []
DICT: dict[str, Any] = {}
NODE = Node()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Opaque(), "argument 'value' is a {module}.Opaque, which cannot be stored; pass plain data, or a reference"),
        ({"sessions": [1, 2, 3, Opaque()]}, "argument 'value'['sessions'][3] is a {module}.Opaque, which"),
        (Text("x"), "argument 'value' is a {module}.Text, which"),
        (Number(1), "argument 'value' is a {module}.Number, which"),
        (Opaque, "argument 'value' is a type, which"),
        (bytearray(b"x"), "argument 'value' is a bytearray, which"),
        (1j, "argument 'value' is a complex, which"),
        (Fraction(1, 2), "argument 'value' is a fractions.Fraction, which"),
        ({Opaque()}, "argument 'value', an element, is a {module}.Opaque, which"),
        ({(1, Opaque()): 1}, "argument 'value', a key,[1] is a {module}.Opaque, which"),
        ({Point(1): 1}, "argument 'value', a key, is a Point, which cannot be a key"),
        (datetime(2024, 1, 1, tzinfo=Zone()), "argument 'value'.tzinfo is a {module}.Zone, which"),
        ([Node(children=[Opaque()])], "argument 'value'[0].children[0] is a {module}.Opaque, which"),
        (["\ud800"], r"argument 'value'[0] is '\ud800', with a surrogate, which is no character and cannot be stored"),
        ({"\ud800": 1}, r"argument 'value', a key, is '\ud800', with a surrogate"),
        (cyclic(LIST, LIST.append), "argument 'value'[0][0][0]"),
        (cyclic(DICT, functools.partial(DICT.__setitem__, "x")), "argument 'value'['x']['x']"),
        (cyclic(NODE, NODE.children.append), "argument 'value'.children[0].children[0]"),
        (nested(100_000), "argument 'value'[0]"),
        (nested(codec.MAX_DEPTH), "argument 'value'[0]"),
        (nested(codec.MAX_DEPTH, lambda inner: (inner,)), "argument 'value'[0]"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_be_stored_is_refused_by_its_place(value: Any, message: str) -> None:
    """A value without a stored form is refused, and the message says where it is."""
    with pytest.raises(UnserializableError) as caught:
        serialize(job(value=value))
    assert str(caught.value).startswith(message.replace("{module}", __name__))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("part", "place"),
    [({"a": (1, Opaque())}, "argument 2"), ({"r": Opaque()}, "the result"), ({"q": Opaque()}, "field 'q'")],
)
def test_each_part_of_a_payload_is_called_by_its_name(part: dict[str, Any], place: str) -> None:
    """Positional arguments count from 1; a result and any other field are called by name."""
    with pytest.raises(UnserializableError) as caught:
        serialize({**job(), **part})
    assert caught.value.path == place


def test_the_message_names_the_task_when_it_is_known() -> None:
    """The caller adds the task's name to a refusal."""
    with pytest.raises(UnserializableError) as caught:
        serialize(job(user=Opaque()))
    error = UnserializableError(caught.value.path, caught.value.value, caught.value.problem, task="send_email")
    assert str(error).startswith("send_email: argument 'user' is a ")


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: (inner,), lambda inner: {1: inner}])
def test_the_deepest_allowed_nesting_comes_back(wrap: Callable[[Any], Any]) -> None:
    """Nesting up to the limit is stored and read."""
    value = nested(codec.MAX_DEPTH - 2, wrap)
    assert stored(value) == value


def test_a_caller_deep_down_gets_a_refusal() -> None:
    """Where the stack is nearly spent, even then no RecursionError escapes from a payload that nests."""

    def dive(levels: int) -> bytes:
        return dive(levels - 1) if levels else serialize(job(value=nested(60, lambda inner: (inner,))))

    depth = len(traceback.extract_stack())
    with pytest.raises(UnserializableError, match="nested too deep"):
        dive(sys.getrecursionlimit() - depth - 100)


@property_settings
@given(st.binary())
@example(b"")
@example(b"\xc0")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\x91" * 100_000)
@example(b"\xc7\x02\x01\x91" * 100_000)
@example(b"\x81\xa1x\xc7\x02\x63\x91\x01")
def test_any_bytes_are_read_or_unreadable(data: bytes) -> None:
    """Foreign bytes give a dict or an `UnreadableError`, nothing else."""
    try:
        assert isinstance(deserialize(data), dict)
    except UnreadableError as error:
        assert str(error).startswith("not a stored job: ")  # noqa: PT017


FULL = job(
    all=[2**70, (1,), {1: 2}, {1}, frozenset({2}), Decimal(1), UUID(int=1), date.min, time.min, timedelta(1)],
    when=datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
    error=ExceptionGroup("x", [OSError(2, "y", "z")]),
)


@property_settings
@given(st.integers(min_value=0), st.integers(0, 255))
def test_damaged_bytes_are_read_or_unreadable(place: int, byte: int) -> None:
    """One wrong byte, or an end that is missing, gives a dict or an `UnreadableError`, nothing else."""
    data = serialize(FULL)
    place %= len(data)
    for damaged in (data[:place] + bytes([byte]) + data[place + 1 :], data[:place]):
        try:
            assert isinstance(deserialize(damaged), dict)
        except UnreadableError:
            assert damaged != data


@property_settings
@given(st.integers(0, 127), values | st.lists(values))
@example(codec.DECIMAL, 10**1000)
@example(codec.INT, "text")
@example(codec.SET, [{}])
@example(codec.DICT, [[[], 1]])
@example(codec.EXCEPTION, ["builtins", "ValueError", "", [], {}, "", False, "no exception"])
@example(codec.TIMEDELTA, [10**12])
def test_foreign_contents_of_a_tag_are_read_or_unreadable(code: int, value: Any) -> None:
    """A tag around anything at all gives a dict or an `UnreadableError`, nothing else."""
    inner = serialize({"x": value})[3:]
    data = msgspec.msgpack.encode({"x": msgspec.msgpack.Ext(code, inner)})
    try:
        assert isinstance(deserialize(data), dict)
    except UnreadableError as error:
        assert error.__cause__ is not None  # noqa: PT017


def test_a_pickle_is_never_read() -> None:
    """The default payload of plain arq is refused, and the message says what it is."""
    with pytest.raises(UnreadableError, match="looks like a pickle, which is never read"):
        deserialize(pickle.dumps(job()))


def test_a_zone_that_is_not_known_here_is_unreadable() -> None:
    """A time zone that this machine's database lacks is an `UnreadableError` that names it."""
    for key in ("Mars/Olympus", "../../etc/passwd", "/etc/passwd", "", "a\0b"):
        zoned = msgspec.msgpack.Ext(codec.DATETIME, msgspec.msgpack.encode(["2024-01-01T00:00:00", 0, key]))
        with pytest.raises(UnreadableError):
            deserialize(msgspec.msgpack.encode({"x": zoned}))
