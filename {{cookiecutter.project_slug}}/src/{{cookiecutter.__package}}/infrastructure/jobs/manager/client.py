"""`JobManager`: everything that can be done with jobs, behind one object."""

from __future__ import annotations

from .combining import Combining
from .enqueueing import Enqueueing
from .scheduling import Scheduling
from .serving import Serving
from .steering import Steering
from .watching import Watching


class JobManager(Enqueueing, Scheduling, Combining, Watching, Steering, Serving):
    """Enqueues, schedules and combines jobs, says what became of them, and steers them.

    It holds nothing but its backend: making one costs nothing, and any number of them may be used at once. Wherever a
    task is wanted, its name, its dotted import path, the function or the `Task` will do; one that is not registered, or
    arguments that do not fit it, are errors at the call. An argument of a task that is called as an option of the
    method here, such as `queue`, is given by position, or by `enqueue_task`. Whatever cannot be done without Redis
    raises `QueueUnavailable` where that does not answer.
    """
