"""An exception as it is stored, and back: its class only if that is already imported, and without running its code."""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
from types import ModuleType
from typing import Any

import msgspec

from .errors import RemoteError

#: Characters kept of a traceback, from its end.
MAX_TRACEBACK = 32_768

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: not set for classes compiled into the interpreter


class Envelope(msgspec.Struct, array_like=True):
    """What is kept of an exception; stored data outlives a release, so new fields go at the end."""

    module: str
    qualname: str
    message: str
    args: list[Any] = []
    state: dict[str, Any] = {}
    traceback: str = ""
    suppress_context: bool = False
    cause: Any = None
    context: Any = None


def new_envelope(error: BaseException) -> Envelope:
    """Begin with the message as the only argument."""
    message = text_of(error)
    return Envelope(text_of(type(error).__module__), text_of(type(error).__qualname__), message, [message])


def args_of(error: BaseException) -> tuple[Any, ...]:
    """Give the arguments that make an equal exception."""
    if isinstance(error, OSError) and error.filename is not None:  # its constructor takes the names out of `args`
        names = (error.filename,) if error.filename2 is None else (error.filename, None, error.filename2)
        return (*error.args[:2], *names)
    return error.args


def state_of(error: BaseException) -> dict[str, Any]:
    """Give the attributes, without the one that `restore` adds."""
    return {name: value for name, value in vars(error).items() if name != "remote_traceback"}


def text_of(value: object) -> str:
    """Give `str(value)`, whatever that does, fit for UTF-8."""
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 - a __str__ may raise anything
        text = f"<{type(value).__qualname__}>"
    return text.encode("utf-8", "backslashreplace").decode()


def traceback_of(error: BaseException, *, chain: bool) -> str:
    """Give the traceback's text; that of a restored exception is the one it came with."""
    text = vars(error).get("remote_traceback", "")
    if error.__traceback__ is not None or not text:
        with suppress(Exception):
            text = "".join(traceback.format_exception(error, chain=chain))
    return text_of(text)[-MAX_TRACEBACK:]


def restore(envelope: Envelope) -> BaseException:
    """Make the exception again, of its own class if possible, else a `RemoteError`.

    Either has an attribute `remote_traceback`: the text of the traceback where it was raised.
    """
    kind = _imported_class(envelope.module, envelope.qualname)
    error = _rebuild(kind, envelope) if kind else None
    if error is None:
        name = f"{envelope.module}.{envelope.qualname}".removeprefix("builtins.")
        error = RemoteError(name, envelope.message, envelope.traceback)
    # Not by plain assignment: a class may have its own __setattr__.
    object.__setattr__(error, "__cause__", envelope.cause)
    object.__setattr__(error, "__context__", envelope.context)
    object.__setattr__(error, "__suppress_context__", envelope.suppress_context)
    return error


def _imported_class(module: str, qualname: str) -> type[BaseException] | None:
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        if not issubclass(type(found), (ModuleType, type)):
            return None
        found = object.__getattribute__(found, "__dict__").get(name)  # getattr() may run a module's __getattr__
    return found if issubclass(type(found), type) and issubclass(found, BaseException) else None


def _rebuild(kind: type[BaseException], envelope: Envelope) -> BaseException | None:
    """Use the constructor of the built-in class underneath, so that no other code runs."""
    built_in: Any = kind
    while built_in.__flags__ & _HEAP_TYPE:
        built_in = built_in.__base__
    try:
        error: BaseException = built_in.__new__(kind, *envelope.args)
    except (TypeError, ValueError):  # a compiled class that only its own library makes, arguments that do not fit
        return None
    with suppress(TypeError, ValueError):
        built_in.__init__(error, *envelope.args)
    object.__getattribute__(error, "__dict__").update(envelope.state, remote_traceback=envelope.traceback)
    return error
