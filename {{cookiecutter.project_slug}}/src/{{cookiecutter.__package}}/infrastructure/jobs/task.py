"""Tasks that know how to be enqueued: `@task` makes a `Task` of a function, whose arguments type checkers know."""

from __future__ import annotations

from functools import WRAPPER_ASSIGNMENTS, update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypedDict, TypeVar, Unpack, overload

from .context import TaskContext
from .enqueueing import enqueuer, set_enqueuer
from .errors import InvalidPolicyError
from .policy import PolicyOptions, TaskPolicy, combined, function_of, policy_of
from .registry import TaskFunction, TaskRegistry, as_function

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime, timedelta

    from sqlalchemy.ext.asyncio import AsyncSession

    from .policy import Unique
    from .records import JobPriority

P = ParamSpec("P")
R = TypeVar("R")
ResultT = TypeVar("ResultT")
T = TypeVar("T")


class EnqueueOptions(TypedDict, total=False):
    """What `Task.options` takes: the options of `enqueue_task`, without the `_`."""

    job_id: str
    queue: str
    priority: JobPriority
    defer_by: float | timedelta
    defer_until: datetime
    expires: float | timedelta
    idempotency_key: str
    unique: Unique | timedelta
    session: AsyncSession


class ConfiguredTask(Generic[P]):
    """A task with options for the jobs that it enqueues: what `Task.options` gives."""

    def __init__(self, task: TaskFunction, options: EnqueueOptions) -> None:
        self._task = task
        self._options = {f"_{name}": value for name, value in options.items() if value is not None}

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """Enqueue a job with these arguments of the task, and give its id.

        It does what `enqueue_task` does, with the same options and errors.

        Raises:
            JobError: the front door, which enqueues, has not been imported.
        """
        return await self._enqueue(args, kwargs)

    async def enqueue_in(self, delay: float | timedelta, /, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """Enqueue a job that runs after so many seconds, or a timedelta; see `enqueue`."""
        return await self._enqueue(args, kwargs, _defer_by=delay)

    async def enqueue_at(self, when: datetime, /, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """Enqueue a job that runs at a time; one without a zone is local time. See `enqueue`."""
        return await self._enqueue(args, kwargs, _defer_until=when)

    async def _enqueue(self, args: tuple[Any, ...], kwargs: dict[str, Any], **timing: Any) -> str | None:
        return await enqueuer(self._task)(self._task, *args, **(self._options | timing), **kwargs)


class Task(ConfiguredTask[P], Generic[P, R]):
    """A task: called, it is the function that it was made from; beyond that it can be enqueued.

    `P` are the arguments after the context, `R` is what a call gives: of an `async def`, a coroutine.
    """

    __qualname__: str

    def __init__(self, function: Callable[Concatenate[TaskContext, P], R], policy: TaskPolicy | None = None) -> None:
        if isinstance(function, Task):
            raise InvalidPolicyError("task", function, "is a Task already; make it one once")
        policy = combined(function, policy or TaskPolicy())
        super().__init__(self, {})
        self._call: Callable[..., R] = function
        self.function = function_of(function)
        # What code is made of tells `inspect` (and so arq.func and cron) that this is an async def, or is none.
        code = ("__code__", "__defaults__", "__kwdefaults__")
        update_wrapper(self, self.function, assigned=(*WRAPPER_ASSIGNMENTS, *code))
        self.__task_policy__ = policy

    @property
    def policy(self) -> TaskPolicy:
        """What the task sets for itself."""
        return self.__task_policy__

    @property
    def name(self) -> str:
        """What the task is called in the queue."""
        return self.policy.name or self.function.__qualname__

    def __call__(self, ctx: dict[str, Any], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, here and now."""
        return self._call(ctx, *args, **kwargs)

    def __repr__(self) -> str:
        """Show the name."""
        return f"<task {self.name}>"

    def __reduce__(self) -> str:
        """Be pickled as functions are: by where it stands."""
        return self.function.__qualname__

    def options(self, **options: Unpack[EnqueueOptions]) -> ConfiguredTask[P]:
        """Give the same task with options for the next jobs.

        Args:
            options: `job_id`, `queue`, `priority`, `defer_by`, `defer_until`, `expires`, `idempotency_key`, `unique`,
                `session`: what `enqueue_task` takes with a `_`.
        """
        return ConfiguredTask(self, options)

    def on_failure(
        self, hook: Callable[Concatenate[TaskContext, Exception, P], T]
    ) -> Callable[Concatenate[TaskContext, Exception, P], T]:
        """Decorate what is to be called with `(ctx, error, *args, **kwargs)` when the last try of a job has failed."""
        self.__task_policy__ = combined(self, TaskPolicy(on_failure=hook))
        return hook

    @overload
    def on_success(
        self: Task[P, Coroutine[Any, Any, ResultT]], hook: Callable[Concatenate[TaskContext, ResultT, P], T]
    ) -> Callable[Concatenate[TaskContext, ResultT, P], T]: ...
    @overload
    def on_success(
        self, hook: Callable[Concatenate[TaskContext, R, P], T]
    ) -> Callable[Concatenate[TaskContext, R, P], T]: ...
    def on_success(self, hook: Any) -> Any:
        """Decorate what is to be called with `(ctx, result, *args, **kwargs)` when a job has succeeded."""
        self.__task_policy__ = combined(self, TaskPolicy(on_success=hook))
        return hook


class TaskDecorator(Protocol):
    """What `@task(...)` gives."""

    def __call__(self, function: Callable[Concatenate[TaskContext, P], R], /) -> Task[P, R]:
        """Make a task of the function."""


@overload
def task(function: Callable[Concatenate[TaskContext, P], R], /) -> Task[P, R]: ...
@overload
def task(**options: Unpack[PolicyOptions]) -> TaskDecorator: ...
def task(function: Any = None, /, **options: Any) -> Any:
    """Make a `Task` of a function: `@task`, or `@task(timeout=60, ...)`.

    It still has to be listed in `WorkerSettings.functions`.

    Args:
        function: takes the context first, annotated as `dict[str, Any]` or `TaskContext`.
        options: see `TaskPolicy`.

    Raises:
        InvalidPolicyError: an option makes no sense, or is set twice.
    """
    policy = TaskPolicy(**options)
    return Task(function, policy) if function is not None else lambda function: Task(function, policy)


__all__ = [
    "ConfiguredTask",
    "Task",
    "TaskContext",
    "TaskFunction",
    "TaskRegistry",
    "as_function",
    "function_of",
    "policy_of",
    "set_enqueuer",
    "task",
]
