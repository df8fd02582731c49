"""What is stored of a job that has ended, and of a try that was not its last."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec
from arq.jobs import DeserializationError

from . import keys
from .errors import RemoteError
from .records import FailureCause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger("arq.worker")

#: Characters of an error that the history shows.
MAX_ERROR = 300

_json = msgspec.json.Encoder().encode


def result_data(  # one argument for each field of arq's result
    *,
    job_id: str,
    task: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    queue_key: str,
    tries: int,
    enqueued: int,
    started: int,
    finished: int,
    success: bool,
    result: Any,
    worker: str | None = None,
    cause: FailureCause | None = None,
    origin: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Give the result of a job as arq stores it, with what only this engine knows; times are in ms.

    `worker` is the one that ran the try which the job ended with; None: it did not end with a try. `origin` is what
    `origins.read_origin` gives.
    """
    data: dict[str, Any] = {
        "t": tries,
        "f": task,
        "a": args,
        "k": kwargs,
        "et": enqueued,
        "s": success,
        "r": result,
        "st": started,
        "ft": finished,
        "q": queue_key,
        "id": job_id,
        "w": worker,
    }
    if cause:
        data["n"] = cause.value
    data.update(origin or {})
    return data


def encode_result(data: dict[str, Any], serializer: Callable[[dict[str, Any]], bytes], ref: str) -> bytes:
    """Encode a result; one that cannot be stored is made a failure, which `data` then says as well."""
    try:
        return serializer(data)
    except Exception:  # whatever the serializer raises, the job has ended
        logger.warning("error serializing result of %s", ref, exc_info=True)
    data.update(r="unable to serialize result", s=False, n=FailureCause.EXCEPTION.value)
    try:
        return serializer(data)
    except Exception:
        logger.critical("error serializing result of %s even after replacing result", ref, exc_info=True)
    return b""


def history_line(data: Mapping[str, Any]) -> str:
    """Give the line of the history for a result: what a list shows of a job, without its arguments and result."""
    error = None if data["s"] else error_text(data["r"])[:MAX_ERROR]
    return _json(
        (
            data["id"],
            data["f"],
            keys.queue_name(data["q"]),
            data["t"],
            data["et"],
            data["st"],
            data["ft"],
            data["w"],
            error,
            keys.priority(data["q"]),
        )
    ).decode()


def attempt_line(outcome: str, *, worker: str, started: int, finished: int, error: BaseException | None = None) -> str:
    """Give the line that says how a try ended that was not the last; times are in ms."""
    line: dict[str, Any] = {"outcome": outcome, "worker": worker, "started": started, "finished": finished}
    if error:
        line["error"] = error_text(error)[:MAX_ERROR]
    return _json(line).decode()


def error_text(error: Any) -> str:
    r"""Give the class and the message of an error: `ValueError: no such user`; a text is given as it is.

    Halves of surrogate pairs, as in names of files that are not UTF-8, are written as `\udcff`: JSON cannot hold them.
    """
    return _error_text(error).encode("utf-8", "backslashreplace").decode()


def _error_text(error: Any) -> str:
    if not isinstance(error, BaseException):
        return str(error)
    try:
        name, message = type(error).__name__, str(error)
        if isinstance(error, RemoteError):  # its class is not imported here, which is nobody's business
            name, message = error.type_name.rpartition(".")[2], error.message
        text = f"{name}: {message}".removesuffix(": ")
        if isinstance(error, DeserializationError) and error.__cause__:
            text += f": {error.__cause__}"
    except Exception:  # noqa: BLE001 - an exception may have any `__str__`
        return type(error).__name__
    return text
