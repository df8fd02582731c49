"""Secrets among the arguments of jobs: what is never shown, and how it comes back when what was shown is edited."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from itertools import repeat, zip_longest
from typing import TYPE_CHECKING, Any

from .errors import InvalidJobError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Names of arguments whose values are never shown; the last are links that let in whoever has them.
SECRET = re.compile(
    r"passw(or)?d|passphrase|secret|token|api[-_]?key|private[-_]?key|credential|authorization|cookie"
    r"|(reset|magic|log[-_]?in|sign[-_]?in|signed|verif\w*|confirm\w*|activation|invit\w*|download)[-_]?(link|url)",
    re.IGNORECASE,
)
HIDDEN = "***"


def masked(value: Any) -> Any:
    """Give the value with everything hidden that stands under the name of a secret, however deep."""
    if isinstance(value, Mapping):
        return {name: HIDDEN if _is_secret(name) else masked(inner) for name, inner in value.items()}
    if type(value) in {list, tuple, set, frozenset}:
        return type(value)(map(masked, value))
    return value


def masked_arguments(
    function: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Give the arguments of a call with the secrets hidden.

    Args:
        function: the task, whose parameters name what is given by position; None: it is not known here.
        args: positional arguments after the context.
        kwargs: named arguments.
    """
    named = zip(args, _parameters(function), strict=False)
    return tuple(HIDDEN if _is_secret(name) else masked(value) for value, name in named), masked(dict(kwargs))


def unmasked(edited: Any, original: Any) -> Any:
    """Give what somebody made of what `masked` showed, with the secrets back that were left as they were shown.

    Args:
        edited: the value; a `***` in the place of a secret stands for what was there.
        original: the value that was shown, secrets and all.

    Raises:
        InvalidJobError: a `***` stands for a secret of which it is not clear which one.
    """
    return _restored(edited, masked(original), original)


def unmasked_arguments(
    function: Callable[..., Any] | None,
    edited: tuple[tuple[Any, ...] | None, Mapping[str, Any] | None],
    original: tuple[tuple[Any, ...], Mapping[str, Any]],
) -> tuple[tuple[Any, ...] | None, dict[str, Any] | None]:
    """Do as `unmasked` for the arguments of a call, by position and by name; None: they are not edited."""
    shown_args, shown_kwargs = masked_arguments(function, *original)
    args, kwargs = edited
    if args is not None:
        # Their places are those of parameters, so it does no harm if there are more or fewer of them now.
        old = zip_longest(args, shown_args[: len(args)], original[0][: len(args)])
        args = tuple(_restored(*value, name=name) for value, name in zip(old, _parameters(function), strict=False))
    return args, None if kwargs is None else _restored(dict(kwargs), shown_kwargs, dict(original[1]))


def _restored(edited: Any, shown: Any, original: Any, *, name: object = None) -> Any:
    """Put the secrets of one value back, given what was shown in its place, and what that was; see `unmasked`."""
    if edited == HIDDEN:
        if _is_secret(name) and shown != HIDDEN:
            raise InvalidJobError(f"{name}: {HIDDEN!r} stands for a secret that was not shown there; give the value")
        return original if shown == HIDDEN else edited
    if isinstance(edited, Mapping):
        known = shown if isinstance(shown, Mapping) else {}
        return {
            key: _restored(value, known.get(key), original[key] if key in known else None, name=key)
            for key, value in edited.items()
        }
    if isinstance(edited, list | tuple):
        same = isinstance(shown, list | tuple) and len(shown) == len(edited)
        old = zip(shown, original, strict=True) if same else repeat((None, None))
        return type(edited)(_restored(value, *each) for value, each in zip(edited, old, strict=False))
    return edited


def _is_secret(name: object) -> bool:
    return isinstance(name, str) and SECRET.search(name) is not None


def _parameters(function: Callable[..., Any] | None) -> Iterator[str | None]:
    """Give the names of the parameters after the context, that of `*args` for the rest, and then None."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[1:] if function else []
    except (TypeError, ValueError):  # a compiled function may have no signature
        parameters = []
    for parameter in parameters:
        yield parameter.name
        while parameter.kind is parameter.VAR_POSITIONAL:
            yield parameter.name
    yield from repeat(None)
