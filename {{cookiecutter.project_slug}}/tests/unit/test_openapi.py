"""The OpenAPI document tells a reader, and a program that makes a client of it, all that they need."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from {{ cookiecutter.__package }}.main import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = create_app().openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
#: Answers 401 to a wrong password, not to a missing token.
SIGN_IN = "POST /api/v1/auth/token"
#: Texts that are hashed or verified, not stored or looked for as they are.
NOT_STORED = {"current", "new", "password", "token"}

each_operation = pytest.mark.parametrize("name", OPERATIONS)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference to what it stands for."""
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def parts(schema: dict[str, Any], name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the schemas of all single values that a schema is made of, with their names."""
    schema = resolved(schema)
    nested = [*schema.get("properties", {}).items(), *((name, one) for one in schema.get("anyOf", []))]
    if "items" in schema:
        nested.append((name, schema["items"]))
    if not nested:
        yield name, schema
    for inner_name, inner in nested:
        yield from parts(inner, inner_name)


def has_example(content: dict[str, Any]) -> bool:
    """Tell whether a reader sees a value: one for the whole, one for what a list holds, or one for each property."""
    schema = resolved(content.get("schema", {}))
    if any(key in where for where in (content, schema) for key in ("example", "examples")):
        return True
    if schema.get("type") == "array":
        return has_example({"schema": schema["items"]})
    if "anyOf" in schema:
        return any(has_example({"schema": one}) for one in schema["anyOf"])
    properties = schema.get("properties", {}).values()
    return bool(properties) and all(has_example({"schema": schema}) for schema in properties)


@each_operation
def test_says_what_it_is_for(name: str) -> None:
    """There is a name for people, a sentence or more, and a heading to stand under."""
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["description"].rstrip().endswith(".")
    assert operation["tags"]


def test_generated_clients_have_readable_names() -> None:
    """An operation is called as the function that answers it, and no two are called the same."""
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert sorted(set(names)) == sorted(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name)] == []


@each_operation
def test_shows_examples(name: str) -> None:
    """Whoever reads the document sees what to send and what comes back."""
    operation = OPERATIONS[name]
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        assert has_example(content), f"the body ({media}) has no example"
    for status, answer in operation["responses"].items():
        for media, content in answer.get("content", {}).items():
            assert not media.endswith("json") or has_example(content), f"the answer {status} ({media}) has no example"


def examples(part: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Give all examples in a part of the document, each with its schema."""
    if isinstance(part, dict):
        schema = part.get("schema", part)
        found = part["examples"] if isinstance(part.get("examples"), list) else []
        yield from ((schema, value) for value in [*found, *([part["example"]] if "example" in part else [])])
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else []:
        yield from examples(inner)


def test_examples_are_valid() -> None:
    """Each is what its schema says, with nothing missing."""
    found = list(examples([DOCUMENT["paths"], DOCUMENT["components"]]))
    assert len(found) > len(OPERATIONS)
    for schema, value in found:
        validator = jsonschema_rs.Draft202012Validator({"allOf": [schema], "components": DOCUMENT["components"]})
        assert not [error.message for error in validator.iter_errors(value)], value


@each_operation
def test_names_its_errors(name: str) -> None:
    """Errors are problem documents; each operation has those that follow from what it takes."""
    operation = OPERATIONS[name]
    answers = operation["responses"]
    assert "500" in answers
    assert ("422" in answers) == ("parameters" in operation or "requestBody" in operation)
    assert "400" in answers or "requestBody" not in operation
    errors = {status: list(answer["content"]) for status, answer in answers.items() if status >= "400"}
    if name == "GET /health/ready":
        assert errors.pop("503") == ["application/json"]  # which of its checks have failed
    assert set(map(tuple, errors.values())) == {("application/problem+json",)}


@each_operation
def test_limits_what_it_takes(name: str) -> None:
    """Numbers have a largest value, and texts a length and a form: no database refuses what is let in."""
    operation = OPERATIONS[name]
    given = [(each["name"], each["schema"]) for each in operation.get("parameters", [])]
    given += [("", body["schema"]) for body in operation.get("requestBody", {}).get("content", {}).values()]
    for value, schema in (part for of, whole in given for part in parts(whole, of)):
        if schema.get("type") == "integer" and "enum" not in schema:
            assert {"minimum", "maximum"} <= schema.keys(), value
        if schema.get("type") == "string" and not {"const", "enum", "format"} & schema.keys():
            assert "pattern" in schema or value in NOT_STORED, value
            assert "maxLength" in schema or "{" in schema["pattern"], value


@each_operation
def test_says_who_may_use_it(name: str) -> None:
    """What answers 401 declares the token that it needs, and the other way round."""
    operation = OPERATIONS[name]
    assert bool(operation.get("security")) == ("401" in operation["responses"] and name != SIGN_IN)
