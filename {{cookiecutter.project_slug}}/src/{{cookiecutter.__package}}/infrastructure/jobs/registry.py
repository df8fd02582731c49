"""How tasks are named, and how a call is checked."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from arq.utils import import_string
from arq.worker import Function

from .errors import InvalidJobError, UnknownTaskError
from .policy import TaskPolicy, function_of, label, policy_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from arq.cron import CronJob

    from .schedules.client import Schedule

#: A function whose first argument is the context; `async def`, or `def`, which is run in a thread.
TaskFunction = Callable[..., Any]


def as_function(task: TaskFunction | Function | str) -> Function:
    """Give arq's record of a task, with what its policy says; unlike `arq.func` it takes a plain `def` too.

    A dotted path is imported, and is the task's name, as in arq. What `arq.func` was given wins over the policy. The
    record's `coroutine` is what was listed, a `Task` for instance: see `policy_of` and `function_of`.
    """
    if isinstance(task, str):
        try:
            return _with_policy(Function(task, import_string(task), None, None, None, None))
        except ImportError as error:
            raise InvalidJobError(f"{task!r} in WorkerSettings.functions cannot be imported: {error}") from error
    if isinstance(task, Function):
        return _with_policy(task)
    name = getattr(task, "__qualname__", None)
    if not callable(task) or not name:
        raise InvalidJobError(f"{task!r} is no function; list the function itself in WorkerSettings.functions")
    return _with_policy(Function(name, task, None, None, None, None))


def _with_policy(function: Function) -> Function:
    policy = policy_of(function.coroutine)
    unnamed = function.name == label(function.coroutine)
    kept = policy.keep_result is not None and function.keep_result_s is None
    return replace(
        function,
        name=policy.name or function.name if unnamed else function.name,
        timeout_s=policy.timeout if function.timeout_s is None else function.timeout_s,
        keep_result_s=policy.keep_result if kept else function.keep_result_s,
        keep_result_forever=False if kept and function.keep_result_forever is None else function.keep_result_forever,
        max_tries=policy.retry.max_tries if policy.retry and function.max_tries is None else function.max_tries,
    )


def with_scheduled(functions: Iterable[Any], schedules: Iterable[Schedule] | None) -> list[Any]:
    """Give the tasks that are listed, and those functions that only a schedule names: as with arq's `cron()`."""
    tasks = list(functions)
    listed = {function_of(as_function(task).coroutine) for task in tasks}
    for schedule in schedules or ():
        if callable(schedule.task) and function_of(schedule.task) not in listed:
            listed.add(function_of(schedule.task))
            tasks.append(schedule.task)
    return tasks


class TaskRegistry:
    """The tasks that a worker of this code would run."""

    # `Any`: a plain list of different functions has no better type; `as_function` looks at each.
    def __init__(self, functions: Iterable[Any], cron_jobs: Iterable[CronJob] = ()) -> None:
        tasks: dict[str, TaskFunction] = {}
        for function in map(as_function, functions):
            if function.name in tasks:
                raise InvalidJobError(f"two tasks are named {function.name!r}; give one another name with arq.func()")
            tasks[function.name] = function.coroutine
        tasks |= {cron_job.name: cron_job.coroutine for cron_job in cron_jobs}
        listed = {task: name for name, task in reversed(tasks.items())}
        # Of several tasks made from one function, the one that was listed as it is comes first.
        self._names = {function_of(task): name for name, task in reversed(tasks.items())} | listed
        self._tasks = tasks
        self._policies = {name: policy_of(task) for name, task in tasks.items()}
        self._signatures = {name: _signature(name, task) for name, task in tasks.items()}
        self._keywords = {name: _keywords(signature) for name, signature in self._signatures.items()}

    def name_of(self, task: str | TaskFunction) -> str:
        """Find the registered name of a task.

        Args:
            task: its name, its dotted import path, the function itself, or the `Task` made from it.

        Raises:
            UnknownTaskError: none is registered; the message suggests near misses.
        """
        found: Any = task
        if isinstance(task, str):
            if task in self._policies:
                return task
            module, _, attribute = task.rpartition(".")
            found = getattr(sys.modules.get(module), attribute, None)
        try:
            return self._names[found]
        except (KeyError, TypeError):  # TypeError: not hashable, so certainly no task
            raise UnknownTaskError(task if isinstance(task, str) else _place(task), self._policies) from None

    def names(self) -> list[str]:
        """Give the registered names, sorted."""
        return sorted(self._policies)

    def policy_of(self, name: str) -> TaskPolicy:
        """Give what the task of this registered name sets for itself."""
        return self._policies[name]

    def check_call(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Refuse arguments that the task could not be called with.

        Raises:
            InvalidJobError: an argument is missing, or one too many.
        """
        needed, allowed = self._keywords[name]
        given = kwargs.keys()
        if args or not needed <= given <= allowed:  # what is plain to see need not be bound, which takes longer
            self._bind(name, args, kwargs)

    def find_policy(self, name: str) -> TaskPolicy | None:
        """Give what the task of this name sets for itself; None for a task that is not registered."""
        return self._policies.get(name)

    def find_function(self, task: str) -> TaskFunction | None:
        """Give the function that a task runs, by its name or its dotted path; None if none is registered so."""
        try:
            return function_of(self._tasks[self.name_of(task)])
        except UnknownTaskError:
            return None

    def bound(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Give the arguments of a call by the names of the task's parameters, defaults included.

        Raises:
            InvalidJobError: an argument is missing, or one too many.
        """
        bound = self._bind(name, args, kwargs)
        bound.apply_defaults()
        return dict(list(bound.arguments.items())[1:])

    def _bind(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        try:
            return self._signatures[name].bind(None, *args, **kwargs)
        except TypeError as error:
            context = next(iter(self._signatures[name].parameters))
            hint = f"; its first parameter, {context!r}, is the context, which its worker gives"
            raise InvalidJobError(f"{name}: {error}{hint if context in kwargs else ''}") from None


def _signature(name: str, task: TaskFunction) -> inspect.Signature:
    signature = inspect.signature(function_of(task))
    first = next(iter(signature.parameters.values()), None)
    if first is None or first.kind in {first.KEYWORD_ONLY, first.VAR_KEYWORD}:
        raise InvalidJobError(f"{name}{signature} has no place for the context: let `ctx` be its first parameter")
    return signature


def _place(task: object) -> str:
    """Say where a function stands, or what was given in its place."""
    return f"{task.__module__}.{task.__qualname__}" if inspect.isfunction(task) else repr(task)


def _keywords(signature: inspect.Signature) -> tuple[frozenset[str], frozenset[str]]:
    """Give the names of the arguments that a call must have, and of those that it may have by name."""
    parameters = list(signature.parameters.values())[1:]
    variadic = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    needed = {p.name for p in parameters if p.default is p.empty and p.kind not in variadic}
    allowed = {p.name for p in parameters if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}}
    return frozenset(needed), frozenset(allowed)


def task_name(registry: TaskRegistry | None, task: str | TaskFunction) -> str:
    """Find the name of a task, see `TaskRegistry.name_of`; without a registry any name is taken as it is."""
    if registry is None:
        return task if isinstance(task, str) else as_function(task).name
    return registry.name_of(task)


def checked_name(
    registry: TaskRegistry | None, task: str | TaskFunction, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> str:
    """Find the name of a task, and refuse arguments that do not fit it, as far as that is known; see `task_name`.

    Raises:
        UnknownTaskError: no such task is registered.
        InvalidJobError: an argument is missing, or one too many.
    """
    name = task_name(registry, task)
    if registry is not None:
        registry.check_call(name, args, kwargs)
    return name
