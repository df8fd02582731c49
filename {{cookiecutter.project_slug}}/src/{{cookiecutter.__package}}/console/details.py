"""All that is known of one job, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from .lists import seconds
from .output import Column, clean, is_terminal, jsonable, print_fields, print_table

if TYPE_CHECKING:
    from ..infrastructure.jobs import AttemptRecord, JobDetails, JobRecord, WorkflowJob

ATTEMPTS: list[Column[AttemptRecord]] = [
    Column("outcome", lambda attempt: attempt.outcome),
    Column("started", lambda attempt: attempt.start_time),
    Column("took", lambda attempt: seconds(attempt.duration)),
    Column("worker", lambda attempt: attempt.worker),
    Column("error", lambda attempt: attempt.error, cut=True),
]
CHILDREN: list[Column[WorkflowJob]] = [
    Column("id", lambda child: child.job_id, whole=True),
    Column("task", lambda child: child.task),
    Column("status", lambda child: child.status),
]


def print_details(details: JobDetails) -> None:
    """Print what is known of a job; in a pipe all of it as a name and a value a line."""
    print_fields(_fields(details))
    if not is_terminal():
        return
    if details.job.attempts:
        typer.echo("\nTries")
        print_table(ATTEMPTS, details.job.attempts, nothing="")
    if details.children:
        typer.echo("\nJobs")
        print_table(CHILDREN, details.children, nothing="")
    if details.job.traceback:
        typer.echo(f"\n{clean(details.job.traceback).rstrip()}")


def _fields(details: JobDetails) -> dict[str, Any]:
    job = details.job
    in_pipe = not is_terminal()
    parent = details.parent
    return {
        "id": job.job_id,
        "task": job.task,
        "status": job.status,
        "queue": job.queue,
        "priority": job.priority.name.lower(),
        "args": jsonable(job.args) if job.args else None,
        "kwargs": jsonable(job.kwargs) if job.kwargs else None,
        "enqueued": job.enqueue_time,
        "started": job.start_time,
        "finished": job.finish_time,
        "took": seconds(job.duration),
        "tries": job.tries,
        "worker": job.worker,
        "progress": _progress(job),
        "result": None if job.result is None else jsonable(job.result),
        "error": job.error,
        "cause": job.cause,
        "can be retried": "yes" if details.dead else None,
        "replay of": job.replay_of,
        "part of": parent and f"{parent.kind} {parent.workflow_id}",
        "previous": details.previous,
        "next": details.next,
        "correlation id": job.correlation_id,
        "owner": job.owner,
        "attempts": jsonable(job.attempts) if in_pipe and job.attempts else None,
        "jobs": jsonable(details.children) if in_pipe and details.children else None,
        "traceback": job.traceback if in_pipe else None,
    }


def _progress(job: JobRecord) -> str | None:
    progress = job.progress
    if progress is None:
        return None
    total = "" if progress.total is None else f" of {progress.total:g}"
    return f"{progress.done:g}{total}{f': {progress.message}' if progress.message else ''}"
