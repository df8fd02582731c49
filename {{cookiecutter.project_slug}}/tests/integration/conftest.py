"""A worker inside the test's own event loop."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import Worker
from {{ cookiecutter.__package }}.infrastructure.jobs.task import as_function
from {{ cookiecutter.__package }}.infrastructure.tasks import get_outbox, get_redis_settings

if TYPE_CHECKING:
    from arq.worker import Function

    from {{ cookiecutter.__package }}.infrastructure.jobs.task import TaskFunction


class RunJobs(Protocol):
    """Run a worker with these tasks until the queue is empty, and give it back, closed.

    A task is known by its function's name, also where the function stands inside a test.
    """

    async def __call__(self, *functions: TaskFunction | Function, **settings: Any) -> Worker: ...


@pytest.fixture
def run_jobs(redis_url: str) -> RunJobs:  # noqa: ARG001 - the settings point there
    """Give a function that runs all jobs in the queue; retries follow at once unless the test says otherwise."""

    async def run(*functions: TaskFunction | Function, **settings: Any) -> Worker:
        await get_outbox().relay.settle()
        named = [replace(as_function(task), name=as_function(task).name.rpartition(".")[2]) for task in functions]
        quick: dict[str, Any] = {
            "poll_delay": 0.01,
            "retry_delay": timedelta(0),
            "max_tries": 3,
            "allow_no_persistence": True,
        }
        worker = Worker(
            named, redis_settings=get_redis_settings(), burst=True, handle_signals=False, **(quick | settings)
        )
        try:
            await worker.async_run()
        finally:
            await worker.close()
        return worker

    return run
