"""How payloads and results are stored: MessagePack in which every type beyond its own carries a tag; never pickle.

Plain values are stored as they are, so any MessagePack library can write a job. Enum members, dataclass instances and
pydantic models are stored as plain data, and become what the task's annotations declare when it is called (see
`coercion_for`). Only an exception's class is looked up by its name, and only among the modules already imported.
"""

from __future__ import annotations

import dataclasses
import reprlib
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from msgspec.msgpack import Ext
from pydantic import BaseModel, RootModel

from .coercion import coercion_for, stored_fields
from .envelope import Envelope, args_of, new_envelope, restore, state_of, text_of, traceback_of
from .errors import UnreadableError, UnserializableError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["coercion_for", "deserialize", "serialize"]

#: Levels of nesting in a payload, and how many of them an error message shows.
MAX_DEPTH, MAX_STEPS = 64, 16
#: Exceptions kept of one chain, and in one payload; of those beyond it only the message is kept.
MAX_CHAIN, MAX_EXCEPTIONS = 10, 100

# Stored data outlives a release: a code is never given another meaning.
TUPLE, DICT, SET, FROZENSET, INT, DECIMAL, UUID_, DATETIME, DATE, TIME, TIMEDELTA, EXCEPTION = range(1, 13)

_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_TEXT = frozenset({str})
_PICKLE = b"\x80"  # how every pickle since protocol 2 begins; no payload does


def serialize(data: dict[str, Any]) -> bytes:
    """Store a payload or a result; what is under `a`, the positional arguments, comes back as a tuple.

    Raises:
        UnserializableError: a value has no stored form; its `path` leads there: `argument 'user'['sessions'][3]`.
    """
    arguments = data.get("a")
    if type(arguments) is tuple:
        data = {**data, "a": list(arguments)}
    try:
        if _is_plain(data, MAX_DEPTH - 1):
            try:
                return _encode(data)
            except (OverflowError, UnicodeEncodeError):  # an int of more than 64 bits, a surrogate
                pass
        return _encode(_Writer().write(data))
    except RecursionError:  # the caller itself is deep down
        raise UnserializableError("the job", data, "is nested too deep") from None


def deserialize(data: bytes) -> dict[str, Any]:
    """Read what `serialize` stored, without running any code that the bytes could name.

    Raises:
        UnreadableError: the bytes are damaged, or foreign.
    """
    try:
        payload = _decode(data)
        if type(payload) is not dict:
            raise TypeError(f"{type(payload).__name__} in place of a map")  # noqa: TRY301
    except Exception as error:
        hint = "; it looks like a pickle, which is never read" if data[:1] == _PICKLE and len(data) > 1 else ""
        reason = " ".join(f"{error}".split()) or type(error).__name__
        raise UnreadableError(f"not a stored job: {reason}{hint}") from error
    if type(payload.get("a")) is list:
        payload["a"] = tuple(payload["a"])
    return payload


def _is_plain(container: Any, levels: int) -> bool:
    """Tell whether MessagePack itself keeps every type in this dict or list: the hot path."""
    if type(container) is dict:
        if not _TEXT.issuperset(map(type, container)):
            return False
        container = container.values()
    elif type(container) is not list:
        return False
    if _PLAIN.issuperset(map(type, container)):
        return True
    if levels == 0:
        return False
    for item in container:  # noqa: SIM110 - all() takes twice as long
        if type(item) not in _PLAIN and not _is_plain(item, levels - 1):
            return False
    return True


class _Step:
    """Part of a path that is no index and no key."""

    def __init__(self, text: str) -> None:
        self.text = text


_KEY, _ELEMENT, _PART = _Step(", a key,"), _Step(", an element,"), _Step(", a part,")


class _Writer:
    """Turns one payload into what MessagePack holds; `path` leads to the value in hand."""

    def __init__(self) -> None:
        self.path: list[Any] = []
        self.exceptions = 0
        self.open_exceptions: set[int] = set()

    def write(self, value: Any) -> Any:
        kind: Any = type(value)
        writer = _WRITERS.get(kind) or _family_writer(kind)
        if writer is None:
            raise UnserializableError(self.place(), value)
        return writer(self, value)

    def inside(self, step: Any, value: Any) -> Any:
        self.path.append(step)
        if len(self.path) > MAX_DEPTH:
            raise UnserializableError(self.place(), value, f"is nested deeper than {MAX_DEPTH} levels, or in itself")
        stored = self.write(value)
        self.path.pop()
        return stored

    def place(self) -> str:
        top, *steps = self.path or ["payload"]
        place = "the result" if top == "r" else f"field {top!r}"
        if steps and top in {"a", "k"}:
            name = steps.pop(0)
            place = f"argument {name + 1 if top == 'a' else name!r}"
        shown = [step.text if isinstance(step, _Step) else f"[{reprlib.repr(step)}]" for step in steps[:MAX_STEPS]]
        return place + "".join(shown) + ("..." if len(steps) > len(shown) else "")

    def integer(self, value: int) -> Any:
        if -(2**63) <= value < 2**64:
            return value
        return Ext(INT, _encode(value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)))

    def text(self, value: str) -> str:
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                problem = f"is {reprlib.repr(value)}, with a surrogate, which is no character and cannot be stored"
                raise UnserializableError(self.place(), value, problem) from None
        return value

    def sequence(self, value: Any) -> Any:
        return [self.inside(index, item) for index, item in enumerate(value)]

    def mapping(self, value: dict[Any, Any]) -> Any:
        if _TEXT.issuperset(map(type, value)) and "".join(value).isascii():
            return {key: self.inside(key, item) for key, item in value.items()}
        pairs = [(self.inside(_KEY, key), self.inside(key, item)) for key, item in value.items()]
        return dict(pairs) if _TEXT.issuperset(map(type, value)) else Ext(DICT, _encode(pairs))

    def elements(self, value: Any) -> Any:
        return [self.inside(_ELEMENT, item) for item in value]

    def moment(self, value: datetime | time) -> Any:
        zone = value.tzinfo
        if type(zone) is ZoneInfo and zone.key:
            return [value.replace(tzinfo=None).isoformat(), value.fold, zone.key]
        if zone is None or type(zone) is timezone:
            return [value.isoformat(), value.fold]
        raise UnserializableError(f"{self.place()}.tzinfo", zone)

    def record(self, value: Any) -> Any:
        if _KEY in self.path:
            raise UnserializableError(self.place(), value, f"is a {type(value).__qualname__}, which cannot be a key")
        fields = stored_fields(value)
        return {name: self.inside(_Step(f".{attribute}"), field) for attribute, name, field in fields}

    def exception(self, error: BaseException, links: int = 1) -> Any:
        self.exceptions += 1
        stored = new_envelope(error)
        if id(error) in self.open_exceptions or self.exceptions > MAX_EXCEPTIONS:
            return Ext(EXCEPTION, _encode(stored))
        stored.traceback = traceback_of(error, chain=not self.open_exceptions)
        stored.suppress_context = error.__suppress_context__
        self.open_exceptions.add(id(error))
        # The chain first: if there is more than is kept, it matters more than exceptions among the arguments.
        if links < MAX_CHAIN and error.__cause__ is not None:
            stored.cause = self.exception(error.__cause__, links + 1)
        elif links < MAX_CHAIN and error.__context__ is not None and not stored.suppress_context:
            stored.context = self.exception(error.__context__, links + 1)
        stored.args = [self.part(argument, text_of) for argument in args_of(error)]
        state = {text_of(name): self.part(value, _unstored) for name, value in state_of(error).items()}
        stored.state = {name: value for name, value in state.items() if value is not _unstored}
        self.open_exceptions.discard(id(error))
        return Ext(EXCEPTION, _encode(stored))

    def part(self, value: Any, fallback: Callable[[Any], Any]) -> Any:
        depth = len(self.path)
        try:
            return self.inside(_PART, value)
        except Exception:  # noqa: BLE001 - an exception is stored whatever it carries
            del self.path[depth:]
            return fallback(value)


def _unstored(_: Any) -> Any:
    return _unstored


def _as_it_is(_: _Writer, value: Any) -> Any:
    return value


def _tagged(code: int, form: Callable[[_Writer, Any], Any]) -> Callable[[_Writer, Any], Any]:
    return lambda writer, value: Ext(code, _encode(form(writer, value)))


_WRITERS: dict[type, Callable[[_Writer, Any], Any]] = {
    **dict.fromkeys(_PLAIN, _as_it_is),
    int: _Writer.integer,
    str: _Writer.text,
    list: _Writer.sequence,
    dict: _Writer.mapping,
    tuple: _tagged(TUPLE, _Writer.sequence),
    set: _tagged(SET, _Writer.elements),
    frozenset: _tagged(FROZENSET, _Writer.elements),
    datetime: _tagged(DATETIME, _Writer.moment),
    time: _tagged(TIME, _Writer.moment),
    date: _tagged(DATE, lambda _, value: value.isoformat()),
    timedelta: _tagged(TIMEDELTA, lambda _, value: [value.days, value.seconds, value.microseconds]),
    Decimal: _tagged(DECIMAL, lambda _, value: str(value)),
}

#: Stored whatever the subclass; the first that fits counts. All other subclasses would come back as something else.
_FAMILIES: tuple[tuple[type, Callable[[_Writer, Any], Any]], ...] = (
    (Enum, lambda writer, value: writer.write(value.value)),
    (UUID, _tagged(UUID_, lambda _, value: value.bytes)),  # asyncpg has its own
    (BaseException, _Writer.exception),
    (RootModel, lambda writer, value: writer.write(value.root)),
    (BaseModel, _Writer.record),
)


@cache
def _family_writer(kind: type) -> Callable[[_Writer, Any], Any] | None:
    fallback = _Writer.record if dataclasses.is_dataclass(kind) else None
    return next((writer for family, writer in _FAMILIES if issubclass(kind, family)), fallback)


def _read_elements(kind: type[set[Any] | frozenset[Any]], items: list[Any]) -> Any:
    try:
        return kind(items)
    except TypeError:  # dataclass instances became dicts: a list, until `coercion_for` restores them
        return items


def _read_moment(kind: type[datetime | time], text: str, fold: int, zone: str | None = None) -> datetime | time:
    moment = kind.fromisoformat(text).replace(fold=fold)
    return moment if zone is None else moment.replace(tzinfo=ZoneInfo(zone))


def _read_decimal(text: Any) -> Decimal:
    if type(text) is not str:
        raise TypeError("a decimal number is stored as text")
    return Decimal(text)


_READERS: dict[int, Callable[[Any], Any]] = {
    TUPLE: tuple,
    DICT: dict,
    SET: lambda items: _read_elements(set, items),
    FROZENSET: lambda items: _read_elements(frozenset, items),
    INT: lambda raw: int.from_bytes(raw, "big", signed=True),
    DECIMAL: _read_decimal,
    UUID_: lambda raw: UUID(bytes=raw),
    DATETIME: lambda raw: _read_moment(datetime, *raw),
    DATE: date.fromisoformat,
    TIME: lambda raw: _read_moment(time, *raw),
    TIMEDELTA: lambda raw: timedelta(*raw),
    EXCEPTION: lambda raw: restore(msgspec.convert(raw, Envelope)),
}


def _read(code: int, data: memoryview) -> Any:
    if code not in _READERS:
        raise ValueError(f"type code {code} is unknown")
    return _READERS[code](_decode(data))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ext_hook=_read).decode
