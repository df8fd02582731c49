"""What goes into a Cypher query: names that are checked and values that are written so that none can break out.

Cypher takes no parameter for labels, relation types and property names, so a `NodeType` or `RelationType` checks its
own where it is defined. Values are always parameters, and `header()` writes those.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

#: What a node is known by.
Key: TypeAlias = int | str

#: Lists nested 100,000 deep overflow the stack of FalkorDB's parser and end the server, so it is not asked to try.
MAX_DEPTH = 16

#: Bytes of a text that FalkorDB indexes; longer ones are in no index.
MAX_KEY = 4096

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_SHOWN = 60


class GraphError(Exception):
    """Base of what can be wrong with a graph operation."""


class GraphNameError(GraphError):
    """A label, relation type, property or parameter has a name that the graph is not asked with."""

    def __init__(self, kind: str, name: object) -> None:
        self.name = name
        super().__init__(f"{name!r} is no name for a {kind}: use 1 to 63 letters, digits and _, no digit first")


class GraphValueError(GraphError):
    """A value is of a kind that the graph cannot hold."""

    def __init__(self, parameter: str, value: object, reason: str) -> None:
        self.value = value
        shown = repr(value)
        shown = f"{shown[:_SHOWN]}..." if len(shown) > _SHOWN else shown
        super().__init__(f"parameter {parameter!r} cannot be {shown}: {reason}")


class GraphQueryError(GraphError):
    """FalkorDB refused a query."""

    def __init__(self, query: str, reason: str) -> None:
        self.query = query
        if "unknown command" in reason:
            reason = "the server at REDIS_URL is a Redis without the FalkorDB module"
        super().__init__(f"{reason}; the query was {query!r}")


def check_name(kind: str, name: object) -> str:
    """Give a name quoted for Cypher, so that it may be a reserved word.

    Raises:
        GraphNameError: it is not made of letters, digits and `_`; the message shows it.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise GraphNameError(kind, name)
    return f"`{name}`"


def check_key(key: Key) -> Key:
    """Give a node's key back if an index can tell it from all others.

    FalkorDB 4.16 looks indexed text up without the white space (ASCII) at its ends and splits it at U+0001, does not
    find empty or long text at all, and takes the lowest integers for each other: there, a merge would make a second
    node, and a look-up of "a" would give " a".

    Raises:
        GraphValueError: the key is such a one, or neither text nor an integer.
    """
    if isinstance(key, bool) or not isinstance(key, int | str):
        raise GraphValueError("key", key, "a node is known by text or an integer")
    if isinstance(key, int) and key < -(2**62):
        raise GraphValueError("key", key, "the index does not tell integers below -2**62 from each other")
    if isinstance(key, str) and (key != key.strip(" \t\n\v\f\r") or "\1" in key or not key):
        raise GraphValueError("key", key, "a node's text is not empty, has no white space at its ends, and no U+0001")
    if isinstance(key, str) and len(key.encode(errors="replace")) > MAX_KEY:
        raise GraphValueError("key", key, f"the index takes no text of more than {MAX_KEY} bytes; use a hash of it")
    return key


def literal(value: Any, *, parameter: str, depth: int = 0) -> str:
    r"""Write a value in Cypher: None, a bool, a 64-bit int, a finite float, text, or a list or mapping of such.

    Not left to the client: falkordb 1.2.0 (`stringify_param_value`) pastes the keys of mappings and `str()` of any
    object it does not know into the query as they are, so `{"a:1} CREATE (:Evil) //": 1}` ran; a NUL cuts the query
    off, and an int beyond 64 bits is stored as another number.

    Raises:
        GraphValueError: any other value; the message names the parameter.
        GraphNameError: the key of a mapping is no property name.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value, parameter)
    if isinstance(value, int | float):
        return _number(value, parameter)
    if depth >= MAX_DEPTH:
        raise GraphValueError(parameter, value, f"it is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, list | tuple):
        return "[" + ",".join(literal(item, parameter=parameter, depth=depth + 1) for item in value) + "]"
    if isinstance(value, Mapping):
        fields = (
            check_name("property", name) + ":" + literal(item, parameter=parameter, depth=depth + 1)
            for name, item in value.items()
        )
        return "{" + ",".join(fields) + "}"
    raise GraphValueError(parameter, value, f"{type(value).__name__} is no type of the graph; convert it to text")


def header(parameters: Mapping[str, Any]) -> str:
    """Write what precedes a query so that it may say `$name`.

    Raises:
        GraphValueError, GraphNameError: see `literal`.
    """
    values = [f"{check_name('parameter', name)}={literal(value, parameter=name)}" for name, value in parameters.items()]
    return " ".join(["CYPHER", *values, ""]) if values else ""


def _text(value: str, parameter: str) -> str:
    text = str.__str__(value)  # the text itself, whatever an enum or another subclass shows of it
    if "\0" in text:
        raise GraphValueError(parameter, value, "the graph's text holds no NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise GraphValueError(parameter, value, "it holds half of a surrogate pair, which is no text") from None
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _number(value: float, parameter: str) -> str:
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise GraphValueError(parameter, value, "the graph's integers have 64 bits")
        return int.__repr__(value)
    if not math.isfinite(value):
        raise GraphValueError(parameter, value, "the graph holds finite numbers only")
    return float.__repr__(value)


@dataclass(frozen=True, slots=True)
class NodeType:
    """Nodes with one label, each known by one property.

    Raises:
        GraphNameError: `label` or `key` is no name.
    """

    label: str
    key: str = "id"

    def __post_init__(self) -> None:  # noqa: D105
        check_name("label", self.label)
        check_name("property", self.key)

    def pattern(self, variable: str, expression: str | None = None) -> str:
        """Write the pattern of a node; `expression`, if given, is Cypher for the value of its key."""
        known_by = "" if expression is None else " {`" + self.key + "`: " + expression + "}"
        return f"({variable}:`{self.label}`{known_by})"


@dataclass(frozen=True, slots=True)
class RelationType:
    """Relations of one type, from nodes of one type to nodes of one type.

    Raises:
        GraphNameError: `name` is no name.
    """

    name: str
    source: NodeType
    target: NodeType

    def __post_init__(self) -> None:  # noqa: D105
        check_name("relation type", self.name)

    def pattern(self, variable: str = "") -> str:
        """Write the arrow between the two patterns of the nodes."""
        return f"-[{variable}:`{self.name}`]->"
