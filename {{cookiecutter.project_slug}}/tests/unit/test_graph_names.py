"""What reaches FalkorDB as part of a query: names and values."""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum, StrEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from {{ cookiecutter.__package }}.infrastructure.cypher import (
    MAX_DEPTH,
    MAX_KEY,
    GraphError,
    GraphNameError,
    GraphQueryError,
    GraphValueError,
    NodeType,
    RelationType,
    check_key,
    check_name,
    header,
    literal,
)

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE_NAMES = [
    "",
    " ",
    "a b",
    "1a",
    "a-b",
    "a.b",
    "User) DETACH DELETE (n",
    "`",
    "``",
    "a`b",
    "User`) DETACH DELETE n //",
    'a"b',
    "a\n",
    "a\0b",
    "é",
    "\u017f",  # a letter that lower-cases to an ASCII one
    "$a",
    "x" * 64,
    None,
    7,
    b"User",
    ["User"],
]


class Colour(StrEnum):
    """Text that is an enum."""

    RED = 're"d'


class Size(IntEnum):
    """A number that is an enum."""

    BIG = 3


class Shout(str):
    """Text that would present itself as something else."""

    __slots__ = ()

    def __str__(self) -> str:
        """Break out."""
        return '" CREATE (:Evil) //'


@pytest.mark.parametrize("name", ["User", "_x", "a1_B", "MATCH", "x" * 63])
def test_a_plain_name_is_quoted(name: str) -> None:
    """A name of letters, digits and `_` may even be a reserved word."""
    assert check_name("label", name) == f"`{name}`"


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_any_other_name_is_refused_with_the_name(name: Any) -> None:
    """No label, key, relation type, property or parameter is made from it, and the error shows it."""
    user = NodeType("User")
    attempts: list[Callable[[], object]] = [
        lambda: check_name("label", name),
        lambda: NodeType(name),
        lambda: NodeType("User", name),
        lambda: RelationType(name, user, user),
        lambda: literal({name: 1}, parameter="p"),
        lambda: literal([{"a": {name: 1}}], parameter="p"),
        lambda: header({name: 1}),
    ]
    for attempt in attempts:
        if isinstance(name, list) and attempt in attempts[4:]:
            continue  # a list can be no key
        with pytest.raises(GraphNameError) as caught:
            attempt()
        assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-(2**63), "-9223372036854775808"),
        (2**63 - 1, "9223372036854775807"),
        (1.5, "1.5"),
        (1e300, "1e+300"),
        ("", '""'),
        ('a"b\\', '"a\\"b\\\\"'),
        ("a'b`\n$x", '"a\'b`\n$x"'),
        ([1, "a", [None]], '[1,"a",[null]]'),
        ((1, 2), "[1,2]"),
        ({"a": 1, "null": {"b": [True]}}, "{`a`:1,`null`:{`b`:[true]}}"),
        ({}, "{}"),
        (Colour.RED, '"re\\"d"'),
        (Size.BIG, "3"),
        (Shout("plain"), '"plain"'),
    ],
)
def test_values_are_written_in_cypher(value: Any, written: str) -> None:
    """Each kind of value has one form."""
    assert literal(value, parameter="p") == written


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("a\0b", "NUL"),
        ("\ud800", "surrogate"),
        (2**63, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (b"a", "bytes"),
        ({1}, "set"),
        (Decimal(1), "Decimal"),
        (UUID(int=1), "UUID"),
        (PurePosixPath("1 CREATE (:Evil) //"), "PurePosixPath"),
        (object(), "object"),
        (range(2), "range"),
    ],
)
def test_other_values_are_refused_with_the_parameter(value: Any, reason: str) -> None:
    """What the graph cannot hold is neither cut nor changed; the error names the parameter and why, at any depth."""
    for nested in (value, [value], {"a": [value]}):
        with pytest.raises(GraphValueError, match=reason) as caught:
            header({"since": nested})
        assert "'since'" in str(caught.value)


@pytest.mark.parametrize("key", ["a", " ".join("ab"), "\u2003", "x" * MAX_KEY, "漢" * 1365, 0, -1, -(2**62), 2**63 - 1])
def test_a_key_is_given_back(key: Any) -> None:
    """What an index can tell from everything else is a key."""
    assert check_key(key) == key


@pytest.mark.parametrize(
    "key", ["", " a", "a\n", "\t", "a\x01b", "x" * (MAX_KEY + 1), "漢" * 1366, -(2**63), True, None, 1.0, b"a", [1]]
)
def test_a_key_that_would_be_mistaken_is_refused(key: Any) -> None:
    """Keys that an index trims, cuts, rounds or leaves out never reach it."""
    with pytest.raises(GraphValueError, match="'key'"):
        check_key(key)


def test_deep_nesting_is_refused() -> None:
    """What would overflow the server's stack is not sent, however deep it is."""
    value: list[Any] = []
    for _ in range(MAX_DEPTH - 1):
        value = [value]
    assert literal(value, parameter="p").count("[") == MAX_DEPTH
    with pytest.raises(GraphValueError, match=f"deeper than {MAX_DEPTH} levels"):
        literal([value], parameter="p")
    for _ in range(500):
        value = [value]
    with pytest.raises(GraphValueError):
        literal(value, parameter="p")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_text_ends_where_it_should(text: str) -> None:
    """Inside the quotes every quote and backslash is escaped, and unescaping gives the text back."""
    written = literal(text, parameter="p")
    assert (written[0], written[-1]) == ('"', '"')
    read, characters = "", iter(written[1:-1])
    for character in characters:
        assert character != '"'
        read += next(characters) if character == "\\" else character
    assert read == text


def test_the_header_names_each_parameter() -> None:
    """A query without parameters gets no header."""
    assert header({}) == ""
    assert header({"a": 1, "b": "x"}) == 'CYPHER `a`=1 `b`="x" '


def test_a_long_value_is_shortened_in_its_error() -> None:
    """A log line stays readable."""
    with pytest.raises(GraphValueError) as caught:
        literal("\0" * 10_000, parameter="p")
    assert len(str(caught.value)) < 200


def test_a_redis_without_the_module_is_explained() -> None:
    """The error says what is missing, not only that a command is."""
    error = GraphQueryError("RETURN 1", "unknown command 'GRAPH.QUERY', with args beginning with: 'graph'")
    assert isinstance(error, GraphError)
    assert "without the FalkorDB module" in str(error)
