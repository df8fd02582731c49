"""Exceptions come back as themselves where they can, are told where they cannot, and run no code on the way."""

from __future__ import annotations

import asyncio
import errno
import sys
from types import ModuleType
from typing import Any

import msgspec
import pytest
from arq.worker import JobExecutionFailed, Retry
from pydantic import TypeAdapter, ValidationError

from {{ cookiecutter.__package }}.infrastructure.jobs import codec
from {{ cookiecutter.__package }}.infrastructure.jobs.codec import deserialize, serialize
from {{ cookiecutter.__package }}.infrastructure.jobs.envelope import MAX_TRACEBACK
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import RemoteError, UnserializableError
from {{ cookiecutter.__package }}.infrastructure.jobs.outcomes import error_text

#: What ran of the classes below.
calls: list[str] = []


class OwnError(Exception):
    """Has a constructor that its args do not fit, and an attribute that cannot be stored."""

    def __init__(self, *, code: int) -> None:
        calls.append("__init__")
        self.code = code
        self.opaque = object()

    def __str__(self) -> str:
        """Need an attribute."""
        return f"code {self.code}"


class PickyError(Exception):
    """Takes over what makes and changes it."""

    def __new__(cls, *args: Any) -> PickyError:  # noqa: PYI034
        calls.append("__new__")
        return super().__new__(cls, *args)

    def __setattr__(self, name: str, value: Any) -> None:
        """Take note."""
        calls.append("__setattr__")
        super().__setattr__(name, value)


class SilentError(Exception):
    """Cannot be told."""

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError


class LazyModule(ModuleType):
    """Makes what it is asked for."""

    def __getattr__(self, name: str) -> Any:
        """Take note."""
        calls.append(name)
        return ValueError


def stored(value: Any) -> Any:
    """Give a value as it comes back."""
    return deserialize(serialize({"r": value}))["r"]


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """Give the exception with a traceback and a context."""
    try:
        try:
            {0: 0}[1]
        except KeyError:
            if cause:
                raise error from cause
            raise error  # noqa: B904 - the context is wanted
    except type(error) as caught:
        return caught
    pytest.fail("it was not raised")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no such user", 7),
        KeyError("name"),
        FileNotFoundError(errno.ENOENT, "No such file", "/tmp/x"),
        OSError(errno.EXDEV, "Cross", "a", None, "b"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        StopIteration(5),
        SystemExit(3),
        asyncio.CancelledError("stop"),
        Retry(defer=5),
        JobExecutionFailed("job expired"),
        ExceptionGroup("many", [ValueError("a"), ExceptionGroup("more", [KeyError("b")])]),
        OwnError(code=7),
        PickyError("a"),
        RemoteError("billing.CardDeclined", "no", "Traceback..."),
        UnserializableError("argument 'x'", 1),
    ],
    ids=repr,
)
def test_an_exception_comes_back_as_its_own_class(error: BaseException) -> None:
    """Class, args, attributes and text survive, and no code of the class runs on the way."""
    calls.clear()
    restored = stored(error)
    assert type(restored) is type(error)
    assert (str(restored), repr(restored.args)) == (str(error), repr(error.args))
    for name in ("errno", "filename", "filename2", "code", "value", "defer_score", "reason", "type_name", "path"):
        assert getattr(restored, name, None) == getattr(error, name, None)
    assert not calls


def test_an_exception_brings_its_traceback() -> None:
    """The text of the traceback, with the chain, is an attribute; it outlives being stored again. Notes are kept."""
    error = raised(ValueError("outer"), TypeError("cause"))
    error.add_note("a note")
    restored = stored(error)
    assert "in raised" in restored.remote_traceback
    assert "direct cause" in restored.remote_traceback
    assert restored.__notes__ == ["a note"]
    assert stored(restored).remote_traceback == restored.remote_traceback


def test_an_exception_brings_its_chain() -> None:
    """Cause and context are linked as they were; a context that is suppressed is not kept."""
    restored = stored(raised(ValueError("outer"), TypeError("cause")))
    assert repr(restored.__cause__) == "TypeError('cause')"
    assert (restored.__context__, restored.__suppress_context__) == (None, True)

    restored = stored(raised(ValueError("outer")))
    assert repr(restored.__context__) == "KeyError(1)"
    assert (restored.__cause__, restored.__suppress_context__) == (None, False)


def test_an_exception_of_an_unknown_class_is_a_remote_error() -> None:
    """A class that is not imported here is not looked for; its name, message and traceback are told."""
    module = ModuleType("module_of_another_process")
    exec("class CardDeclined(Exception): pass", vars(module))
    sys.modules[module.__name__] = module
    try:
        data = serialize({"r": raised(module.CardDeclined("no funds"))})
    finally:
        del sys.modules[module.__name__]
    restored = deserialize(data)["r"]
    assert type(restored) is RemoteError
    assert str(restored) == "module_of_another_process.CardDeclined: no funds"
    assert (restored.type_name, restored.message) == ("module_of_another_process.CardDeclined", "no funds")
    assert "in raised" in restored.remote_traceback
    assert module.__name__ not in sys.modules


def test_an_exception_that_only_its_library_can_make_is_a_remote_error() -> None:
    """A compiled class without a constructor is told by name and message."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_python("x")
    restored = stored(caught.value)
    assert type(restored) is RemoteError
    assert "ValidationError" in restored.type_name
    assert restored.message == str(caught.value)


def test_an_exception_of_a_local_class_is_a_remote_error() -> None:
    """A class that is no attribute of its module cannot be found again."""

    class LocalError(ValueError):
        pass

    assert type(stored(LocalError("x"))) is RemoteError


def test_arguments_that_cannot_be_stored_become_text() -> None:
    """Nothing about an exception is refused: its args become their text, its attributes are left out."""
    opaque, deep, cyclic = object(), [[]], [[]]  # type: ignore[var-annotated]
    for _ in range(codec.MAX_DEPTH):
        deep = [deep]
    cyclic.append(cyclic)
    error = ValueError(opaque, "\udcff", deep, {1: [opaque]}, cyclic, SilentError(1))
    restored = stored(error)
    assert restored.args[:-1] == (str(opaque), "\\udcff", str(deep), str({1: [opaque]}), str(cyclic))
    assert restored.args[-1].args == (1,)
    assert not hasattr(stored(OwnError(code=1)), "opaque")


def test_a_cyclic_chain_ends() -> None:
    """An exception that is met again inside itself is told by its message only."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    restored = stored(first)
    assert repr(restored.__cause__.__cause__) == "ValueError('first')"
    assert restored.__cause__.__cause__.__cause__ is None

    first.args = (first,)  # so that even its text has no end
    assert repr(stored(first).args) == "(ValueError('<ValueError>'),)"


def test_a_long_chain_and_a_large_tree_of_exceptions_are_cut() -> None:
    """The last links of a chain are kept, and a limited number of exceptions in all."""
    error: BaseException = ValueError(0)
    for number in range(1, 100):
        error = raised(ValueError(number, error), error)
    data = serialize({"r": error})
    assert len(data) < codec.MAX_EXCEPTIONS * MAX_TRACEBACK
    restored, links = deserialize(data)["r"], 1
    while restored.__cause__ is not None:
        restored, links = restored.__cause__, links + 1
    assert links == codec.MAX_CHAIN


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("builtins", "int"),
        ("os", "system"),
        ("os", "path.join"),
        ("antigravity", "Error"),
        ("lazy_module_of_a_test", "Error"),
        ("asyncio", "CancelledError.__init__"),
        ("", ""),
    ],
)
def test_data_cannot_name_code_to_run(module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only exception classes of imported modules are found by name: nothing is imported, called or computed."""
    calls.clear()
    monkeypatch.setitem(sys.modules, "lazy_module_of_a_test", LazyModule("lazy_module_of_a_test"))
    envelope = msgspec.msgpack.Ext(codec.EXCEPTION, msgspec.msgpack.encode([module, name, "text", ["echo"], {}]))
    restored = deserialize(msgspec.msgpack.encode({"r": envelope}))["r"]
    assert type(restored) is RemoteError
    assert "antigravity" not in sys.modules
    assert not calls


def test_an_error_is_called_the_same_wherever_it_is_read() -> None:
    """Whether its class is imported there or not, its name stands without the module."""
    assert error_text(ValueError("no")) == error_text(RemoteError("builtins.ValueError", "no")) == "ValueError: no"
    assert error_text(RemoteError("billing.CardDeclined", "")) == "CardDeclined"
