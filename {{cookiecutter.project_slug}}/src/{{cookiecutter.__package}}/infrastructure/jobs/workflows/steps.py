"""The steps and members of a workflow, as a caller says them: checked, and made ready to be stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ..drafts import Draft
from ..errors import InvalidWorkflowError, JobError
from ..registry import TaskFunction, task_name
from .parts import wishes

if TYPE_CHECKING:
    from ..messages import Message
    from ..pool import TaskPool
    from ..records import JobPriority


@dataclass(frozen=True, slots=True)
class Step:
    """One job of a workflow, with options of its own; None stands for what the workflow says, and then the task."""

    #: Its name, its dotted path, the function, or the `Task`.
    task: str | TaskFunction
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    #: Whether it gets the result of the step before, as its first argument after the context.
    pass_result: bool | None = None
    #: Name of the queue.
    queue: str | None = None
    priority: JobPriority | None = None

    @classmethod
    def of(cls, place: str, value: Any) -> Step:
        """Read what stands for a step.

        Raises:
            InvalidWorkflowError: nothing that could; the message says where it stands.
        """
        if isinstance(value, Step):
            step = value
        elif isinstance(value, tuple | list):
            if not 1 <= len(value) <= 3:  # noqa: PLR2004 - the task, its arguments, the named ones
                raise InvalidWorkflowError(place, value, "give (task, args, kwargs), or a Step")
            step = cls(*value)
        else:
            step = cls(value)
        if not isinstance(step.args, tuple | list):
            raise InvalidWorkflowError(place, step.args, "give the arguments as a tuple, as in (task, (1, 2), {})")
        if not isinstance(step.kwargs, Mapping) or not all(isinstance(name, str) for name in step.kwargs):
            raise InvalidWorkflowError(place, step.kwargs, "give the named arguments as a dict, by their names")
        return step


#: What stands for a step: a `Step`; a task and its arguments, by position and by name; fewer of these; or a task alone.
StepLike = Step | str | TaskFunction | tuple[Any, ...] | list[Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job stands in its workflow."""

    #: What an error calls it.
    name: str
    takes: Literal["result", "results"] | None = None
    gives: bool = False


def message_of(pool: TaskPool, step: Step, place: Place, job_id: str, defaults: Mapping[str, Any]) -> Message:
    """Check one step, and make it ready to be stored.

    Args:
        pool: whose registry knows the tasks.
        step: the task and its arguments.
        place: where it stands.
        job_id: its id.
        defaults: `queue` and `priority` where the step has none.

    Raises:
        InvalidWorkflowError: it cannot be; the message says where it stands, and why.
    """
    args, kwargs = tuple(step.args), dict(step.kwargs)
    if place.takes == "results" and "results" in kwargs:
        raise InvalidWorkflowError(place.name, kwargs["results"], "`results` is what the members return; leave it out")
    try:
        task = task_name(pool.registry, step.task)
        if pool.registry and pool.registry.find_policy(task):
            taken = (None, *args) if place.takes == "result" else args
            pool.registry.check_call(task, taken, kwargs | ({"results": []} if place.takes == "results" else {}))
        draft = Draft(
            pool,
            task,
            queue=step.queue or defaults.get("queue"),
            priority=defaults.get("priority") if step.priority is None else step.priority,
            part=wishes(place.takes, gives=place.gives),
        )
        message = draft.message(args, kwargs, job_id=job_id)
    except JobError as error:
        raise InvalidWorkflowError(place.name, step.task, str(error)) from error
    if message.locks:
        raise InvalidWorkflowError(
            place.name, step.task, "is unique, so it may be left out, and a workflow needs all its jobs"
        )
    return message
