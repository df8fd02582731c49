"""The OpenAPI document: what FastAPI finds out, and what all operations have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .problems import ProblemDocument, problem_responses

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.routing import APIRoute


def operation_id(route: APIRoute) -> str:
    """Name an operation after the function that answers it; a generated client calls it so."""
    return route.name


def install_openapi(app: FastAPI) -> None:
    """Complete the document that FastAPI makes.

    An operation's route names the errors of its own. Those that follow from what it takes are added here: 400 for a
    body that cannot be read, 422 for what is not valid, 500 for what nobody expects, 503 while the database is away.
    """
    make = app.openapi
    app.openapi = lambda: _complete(make())  # type: ignore[method-assign] # as FastAPI's documentation has it


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    operations = [(path, each) for path, item in document["paths"].items() for each in item.values()]
    for path, operation in operations:
        has_body = "requestBody" in operation
        has_input = has_body or "parameters" in operation
        uses_database = path.startswith("/api/")
        statuses = [*([400] if has_body else []), *([422] if has_input else []), 500, *([503] if uses_database else [])]
        common = {str(status): answer for status, answer in problem_responses(*statuses).items()}
        operation["responses"] = dict(sorted({**operation["responses"], **common}.items()))
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for schema in schemas.values():
        if "example" in schema:
            schema["example"] = _with_nulls(schema["example"], schema, schemas)
    for name in ("HTTPValidationError", "ValidationError"):  # the form that FastAPI gives 422
        schemas.pop(name, None)
    schemas[ProblemDocument.__name__] = ProblemDocument.model_json_schema()
    return document


def _with_nulls(example: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """Put back into an example what FastAPI leaves out of the document: each null."""
    schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if isinstance(example, list):
        return [_with_nulls(item, schema.get("items", {}), schemas) for item in example]
    if not isinstance(example, dict):
        return example
    for choice in schema.get("anyOf", []):
        example = _with_nulls(example, choice, schemas)
    inner = schema.get("properties", {})
    nulls = {name: None for name in schema.get("required", []) if name not in example}
    return {name: _with_nulls(value, inner.get(name, {}), schemas) for name, value in {**example, **nulls}.items()}
