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
    body that cannot be read, 422 for what is not valid, 500 for what nobody expects.
    """
    make = app.openapi
    app.openapi = lambda: _complete(make())  # type: ignore[method-assign] # as FastAPI's documentation has it


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        has_body = "requestBody" in operation
        has_input = has_body or "parameters" in operation
        statuses = [*([400] if has_body else []), *([422] if has_input else []), 500]
        common = {str(status): answer for status, answer in problem_responses(*statuses).items()}
        operation["responses"] = dict(sorted({**operation["responses"], **common}.items()))
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # the form that FastAPI gives 422
        schemas.pop(name, None)
    schemas[ProblemDocument.__name__] = ProblemDocument.model_json_schema()
    return document
