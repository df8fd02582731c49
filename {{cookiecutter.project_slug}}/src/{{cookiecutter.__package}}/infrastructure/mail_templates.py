"""Messages made of templates, which stand in the slices: see `compose`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, TemplateNotFound

from .. import TITLE
from .settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Content:
    """What a message says; `html` says the same as `text`."""

    subject: str
    text: str
    html: str | None = None
    #: Further headers, such as `List-Unsubscribe`.
    headers: Mapping[str, str] = field(default_factory=dict)


def compose(name: str, /, **values: Any) -> Content:
    """Make a message of a slice's templates.

    "accounts/welcome" is `accounts/templates/welcome.txt`, which begins with a line `Subject: ...` and an empty one,
    and `welcome.html`, if there is one. Values are escaped in HTML. Each template also knows `title`, the project's
    name, and `public_url`; that of HTML knows `subject`, too. A value in the subject loses its line breaks.

    Raises:
        jinja2.TemplateNotFound: there is no such text.
        jinja2.UndefinedError: a template needs a value that was not given.
    """
    folder, _, file = name.rpartition("/")
    path = f"{folder}/templates/{file}"
    values = {"title": TITLE, "public_url": get_settings().public_url} | values
    subject_template, text = _text_templates(f"{path}.txt")
    subject = " ".join(subject_template.render(values).split()).replace("=?", "= ?")
    try:
        html = _environment().get_template(f"{path}.html")
    except TemplateNotFound:
        return Content(subject, text.render(values))
    return Content(subject, text.render(values), html.render(values | {"subject": subject}))


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(PACKAGE),
        autoescape=lambda name: name is not None and name.endswith(".html"),  # noqa: S701 - texts are no HTML
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        # `${value}`, and statements on lines of their own that begin with `%`: the braces of a text stay as they are.
        variable_start_string="${",
        variable_end_string="}",
        line_statement_prefix="%",
    )


@cache
def _text_templates(path: str) -> tuple[Template, Template]:
    """Give the subject and the text as templates of their own, so that no value can reach from one into the other."""
    environment = _environment()
    source, _, _ = FileSystemLoader(PACKAGE).get_source(environment, path)
    subject, found, text = source.partition("\n\n")
    if not (found and subject.startswith("Subject: ")):
        raise ValueError(f"{path} does not begin with a line 'Subject: ...' and an empty line")
    return environment.from_string(subject.removeprefix("Subject: ")), environment.from_string(text)
