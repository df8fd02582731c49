"""What a task is to the engine: how it is named, how a call is checked, and the context it is run with."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from arq.utils import import_string, to_seconds
from arq.worker import Function

from .errors import InvalidJobError, UnknownTaskError
from .records import Progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping

    from arq.cron import CronJob


#: A function whose first argument is the context; `async def`, or `def`, which is run in a thread.
TaskFunction = Callable[..., Any]


def as_function(task: TaskFunction | Function | str) -> Function:
    """Give arq's record of a task; unlike `arq.func` it takes a plain `def` too.

    A dotted path is imported, and is the task's name, as in arq.
    """
    if isinstance(task, Function):
        return task
    if isinstance(task, str):
        try:
            return Function(task, import_string(task), None, None, None, None)
        except ImportError as error:
            raise InvalidJobError(f"{task!r} in WorkerSettings.functions cannot be imported: {error}") from error
    if not callable(task):
        raise InvalidJobError(f"{task!r} is no function; list the function itself in WorkerSettings.functions")
    return Function(task.__qualname__, task, None, None, None, None)


class TaskRegistry:
    """The tasks that a worker of this code would run."""

    # `Any`: a plain list of different functions has no better type; `as_function` looks at each.
    def __init__(self, functions: Iterable[Any], cron_jobs: Iterable[CronJob] = ()) -> None:
        self._functions: dict[str, TaskFunction] = {}
        for function in map(as_function, functions):
            if function.name in self._functions:
                raise InvalidJobError(f"two tasks are named {function.name!r}; give one another name with arq.func()")
            self._functions[function.name] = function.coroutine
        self._functions |= {cron_job.name: cron_job.coroutine for cron_job in cron_jobs}
        self._names = {function: name for name, function in reversed(self._functions.items())}
        self._signatures = {name: inspect.signature(function) for name, function in self._functions.items()}

    def name_of(self, task: str | TaskFunction) -> str:
        """Find the registered name of a task.

        Args:
            task: its name, its dotted import path, or the function itself.

        Raises:
            UnknownTaskError: none is registered; the message suggests near misses.
        """
        found: Any = task
        if isinstance(task, str):
            if task in self._functions:
                return task
            module, _, attribute = task.rpartition(".")
            found = getattr(sys.modules.get(module), attribute, None)
        try:
            return self._names[found]
        except (KeyError, TypeError):  # TypeError: not hashable, so certainly no task
            raise UnknownTaskError(task if isinstance(task, str) else repr(task), self._functions) from None

    def check_call(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Refuse arguments that the task could not be called with.

        Raises:
            InvalidJobError: an argument is missing, or one too many.
        """
        try:
            self._signatures[name].bind(None, *args, **kwargs)
        except TypeError as error:
            raise InvalidJobError(f"{name}: {error}") from None


class TaskContext(dict[str, Any]):
    """The first argument of every task: `redis`, `job_id`, `job_try`, `enqueue_time`, `score`, what start-up put in.

    Setting `ctx["job_timeout"]` to a number of seconds (or a timedelta) moves the deadline of the running task: the
    time counts from the start of this try, as `WorkerSettings.job_timeout` does.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        *,
        move_deadline: Callable[[float], None],
        save_progress: Callable[[Progress], Awaitable[None]],
    ) -> None:
        super().__init__(values)
        self._loop = asyncio.get_running_loop()
        self._move_deadline = move_deadline
        self._save_progress = save_progress
        self._unsaved: Progress | None = None
        self._saving = asyncio.Lock()

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a value; `job_timeout` moves the deadline as well."""
        if key == "job_timeout":
            self._loop.call_soon_threadsafe(self._move_deadline, to_seconds(value))
        super().__setitem__(key, value)

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> Awaitable[None]:
        """Report how far the task is; whoever asks for the job's info sees the last report.

        It may be awaited, which waits until the report is stored, or not. A plain `def` task calls it from its thread.
        """
        self._unsaved = Progress(done, total, message)
        try:
            return asyncio.get_running_loop().create_task(self.save_progress())
        except RuntimeError:  # in a thread
            future = asyncio.run_coroutine_threadsafe(self.save_progress(), self._loop)
            return asyncio.wrap_future(future, loop=self._loop)

    async def save_progress(self) -> None:
        """Store the last report if that has not been done; reports that follow each other quickly become one."""
        if self._unsaved is None and not self._saving.locked():
            return
        async with self._saving:
            report, self._unsaved = self._unsaved, None
            if report is not None:
                await self._save_progress(report)
