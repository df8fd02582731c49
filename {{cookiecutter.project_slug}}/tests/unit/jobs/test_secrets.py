"""What of a job is hidden, and how edited arguments get their secrets back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import InvalidJobError
from {{ cookiecutter.__package }}.infrastructure.jobs.secrets import (
    masked,
    masked_arguments,
    unmasked,
    unmasked_arguments,
)

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext


WORDS = ["password", "passwd", "API-Key", "apikey", "card_token", "Authorization", "session_cookie", "client_secret"]
LINKS = ["reset_link", "reset_url", "login_link", "sign-in-url", "verification_link", "invite_link", "download_url"]


async def login(ctx: TaskContext, user: str, password: str = "", *keys: str, options: Any = None) -> None: ...


async def call(ctx: TaskContext, name: str, *tokens: str) -> None: ...


@pytest.mark.parametrize("name", [*WORDS, *LINKS])
def test_secrets_are_known_by_their_names(name: str) -> None:
    """However they are written; a link that lets in whoever has it is one as well."""
    assert masked({name: "s3cret"}) == {name: "***"}


@pytest.mark.parametrize("name", ["user", "public_url", "link", "url", "unsubscribe_link", "key", "pass_count"])
def test_other_names_are_shown(name: str) -> None:
    """What is no secret would only be missed."""
    assert masked({name: "plain"}) == {name: "plain"}


def test_secrets_are_found_however_deep() -> None:
    """In dicts, lists, tuples and sets; what has no name is shown."""
    value = {"a": [{"token": 1}, ({"secret": 2}, 3)], "b": frozenset({4}), 5: {6}, "cookies": {"x": 7}}
    assert masked(value) == {"a": [{"token": "***"}, ({"secret": "***"}, 3)], "b": {4}, 5: {6}, "cookies": "***"}


def test_arguments_by_position_have_the_names_of_parameters() -> None:
    """All of `*args` have one; of a task that is not known, none."""
    options = {"token": 1}
    assert masked_arguments(login, ("ada", "k", "x"), {"options": options}) == (
        ("ada", "***", "x"),
        {"options": {"token": "***"}},
    )
    assert masked_arguments(call, ("ada", "k", "l"), {}) == (("ada", "***", "***"), {})
    assert masked_arguments(None, ("ada", "k"), {"token": 1}) == (("ada", "k"), {"token": "***"})
    assert masked_arguments(dict.fromkeys, (1,), {}) == ((1,), {})


def test_what_was_shown_masked_keeps_its_value() -> None:
    """However deep it is; everything else is as it was edited, also where a plain text looks like the mask."""
    original = {"to": "ada", "token": "t", "deep": [{"secret": "s", "n": 1}], "note": "plain"}
    edited = {"to": "bob", "token": "***", "deep": [{"secret": "***", "n": 2}], "note": "***", "new": "***"}
    assert unmasked(edited, original) == {
        "to": "bob",
        "token": "t",
        "deep": [{"secret": "s", "n": 2}],
        "note": "***",
        "new": "***",
    }
    assert unmasked({"token": "other"}, original) == {"token": "other"}


def test_a_tuple_that_was_edited_as_json_keeps_its_secrets() -> None:
    """JSON has lists only."""
    assert unmasked({"pairs": [{"token": "***"}]}, {"pairs": ({"token": 1},)}) == {"pairs": [{"token": 1}]}


def test_edited_arguments_get_their_secrets_back() -> None:
    """By position there may be more or fewer of them; None stays None."""
    original = (("ada", "k4"), {"options": {"token": 1}})
    assert unmasked_arguments(login, (("bob", "***"), None), original) == (("bob", "k4"), None)
    assert unmasked_arguments(login, (("bob",), None), original) == (("bob",), None)
    assert unmasked_arguments(login, (("bob", "***", "more"), None), original) == (("bob", "k4", "more"), None)
    assert unmasked_arguments(login, (None, {"options": {"token": "***"}}), original) == (
        None,
        {"options": {"token": 1}},
    )
    assert unmasked_arguments(None, (("***",), {"a": "***"}), (("x",), {})) == (("***",), {"a": "***"})


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("ada",), {"password": "***"}),  # by name, where it was given by position
        (None, {"options": [{"token": "***"}]}),  # in a list that has another length
        (None, {"options": {"token": {"secret": "***"}}}),
    ],
)
def test_a_mask_that_stands_for_no_known_secret_is_refused(
    args: tuple[Any, ...] | None, kwargs: dict[str, Any]
) -> None:
    """Else the job would run with `***` for its secret."""
    original = (("ada", "k4"), {"options": [{"token": 1}, {"token": 2}]})
    with pytest.raises(InvalidJobError, match=r"(password|token|secret): '\*\*\*' stands for a secret that was not"):
        unmasked_arguments(login, (args, kwargs), original)
