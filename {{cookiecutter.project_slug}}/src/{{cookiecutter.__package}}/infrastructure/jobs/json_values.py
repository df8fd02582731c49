"""Values of jobs as JSON, for those who look at them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

if TYPE_CHECKING:
    from collections.abc import Callable

#: Levels of lists and objects that are shown; readers of JSON have limits of their own.
MAX_DEPTH = 100
TOO_DEEP = "... (nested too deep to be shown)"


def readable(text: str) -> str:
    """Write as backslashes what UTF-8 has no form for: halves of surrogate pairs."""
    return text.encode("utf-8", "backslashreplace").decode()


def jsonable(value: Any, text: Callable[[str], str] = readable) -> Any:
    """Give a value as all who read JSON understand it; what JSON has no form for, such as NaN, becomes text.

    Args:
        value: anything that a task takes or returns.
        text: what is made of each text.
    """
    return to_jsonable_python(_plain(value, text, MAX_DEPTH), fallback=repr, bytes_mode="base64")


def _plain(value: Any, text: Callable[[str], str], depth: int) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict | list | tuple | set | frozenset) and not depth:
        return TOO_DEEP
    if isinstance(value, dict):
        named = ((text(name) if isinstance(name, str) else name, inner) for name, inner in value.items())
        return {name: _plain(inner, text, depth - 1) for name, inner in named}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner, text, depth - 1) for inner in value]
    return value
