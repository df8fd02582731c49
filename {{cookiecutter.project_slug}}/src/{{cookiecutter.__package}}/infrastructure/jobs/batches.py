"""Batches: many jobs of one task, from anything that gives their arguments, in constant memory."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import AsyncIterable, Iterable, Mapping, Sized
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, Any, Unpack

from . import checks
from .drafts import Draft
from .errors import InvalidJobError, JobError
from .records import BatchResult, RefusedItem
from .registry import task_name

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from .drafts import DraftOptions
    from .messages import Message
    from .pool import TaskPool
    from .registry import TaskFunction

    Items = Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]

#: Refused items that a result names; the others are counted.
REFUSED_NAMED = 100


class Batches:
    """Enqueues batches over one pool."""

    def __init__(self, pool: TaskPool) -> None:
        """Prepare; tasks and their policies are those of the pool's registry."""
        self._pool = pool

    async def enqueue(
        self,
        task: str | TaskFunction,
        items: Items,
        *,
        batch_size: int = 100,
        progress: Callable[[int, int | None], Any] | None = None,
        on_enqueued: Callable[[list[str]], Any] | None = None,
        key: Callable[[Mapping[str, Any]], str] | None = None,
        **options: Unpack[DraftOptions],
    ) -> BatchResult:
        """Enqueue a job for each item, in one round trip for every `batch_size` of them.

        An item whose arguments do not fit the task, cannot be stored or are too large is refused by itself.

        Args:
            task: its name, its dotted import path, or the task itself.
            items: the named arguments of each job; a list, anything iterable, or an async iterator. It is taken from
                only as the jobs are enqueued.
            batch_size: jobs in one round trip; those beyond 500 take another.
            progress: called after each round trip with the number of items so far and that of all items, or None if
                that is not known; it may be async, such as `ctx.progress` of a task.
            on_enqueued: called after each round trip with the ids of the jobs that it has enqueued; it may be async.
            key: gives an idempotency key for an item: the same key within a day leads to no second job, so a batch that
                has broken off can be sent again as a whole.
            options: what holds for all jobs: `queue`, `priority`, `defer_by`, ...; see `Draft`.

        Raises:
            UnknownTaskError, InvalidJobError, InvalidPolicyError: what holds for all jobs is wrong; none is enqueued.
            QueueFull, QueueUnavailable: there is no room, or Redis does not answer. `error.batch` is the result so far:
                what comes after the first `error.batch.total` items is not known to be enqueued.
        """
        pool = self._pool
        name = task_name(pool.registry, task)
        size = checks.count("batch_size", batch_size)
        if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable | AsyncIterable):
            problem = "give the items as a list of dicts, anything iterable, or an async iterator"
            raise InvalidJobError(f"{name}: {reprlib.repr(items)}: {problem}")
        Draft(pool, name, **options)  # what is wrong with all is said before the first item is taken
        tally = _Tally()
        number = len(items) if isinstance(items, Sized) else None
        try:
            async with aclosing(_slices(items, size)) as slices:
                async for batch in slices:
                    drafted = _Slice(pool, Draft(pool, name, **options), key)
                    drafted.draft_all(batch, tally.total)
                    job_ids = tally.add(drafted, await pool.send(drafted.messages))
                    await _tell(on_enqueued, job_ids)
                    await _tell(progress, tally.total, number)
        except Exception as error:
            error.add_note(f"The batch of {name} broke off: so far, {tally.enqueued} jobs of {tally.total} items.")
            if isinstance(error, JobError):
                error.batch = tally.result()
            raise
        return tally.result()


class _Slice:
    """The items of one round trip."""

    def __init__(self, pool: TaskPool, draft: Draft, key: Callable[[Mapping[str, Any]], str] | None) -> None:
        self._registry = pool.registry
        self._draft = draft
        self._key = key
        self.messages: list[Message] = []
        self.refused: list[RefusedItem] = []

    def draft_all(self, items: Sequence[Any], first: int) -> None:
        """Make jobs of them; `first` is the place of the first among all."""
        for index, item in enumerate(items, first):
            try:
                self.messages.append(self._message(item))
            except JobError as error:
                self.refused.append(RefusedItem(index, item, str(error)))

    def _message(self, item: Any) -> Message:
        if not isinstance(item, Mapping):
            problem = f"{type(item).__name__} in place of the named arguments of a job: give a dict for each"
            raise InvalidJobError(f"{self._draft.task}: {problem}")
        if self._registry:
            self._registry.check_call(self._draft.task, (), item)
        return self._draft.message((), item, idempotency_key=self._key(item) if self._key else None)


class _Tally:
    """What has become of the items so far."""

    def __init__(self) -> None:
        self.total = self.enqueued = self._duplicates = self._refused_count = 0
        self._refused: list[RefusedItem] = []

    def add(self, part: _Slice, answers: Sequence[str | None]) -> list[str]:
        """Count what a round trip has come to; give the ids of the jobs that it has enqueued."""
        job_ids = [m.job_id for m, answer in zip(part.messages, answers, strict=True) if answer == m.job_id]
        self.total += len(part.messages) + len(part.refused)
        self.enqueued += len(job_ids)
        self._duplicates += len(part.messages) - len(job_ids)
        self._refused_count += len(part.refused)
        self._refused += part.refused[: REFUSED_NAMED - len(self._refused)]
        return job_ids

    def result(self) -> BatchResult:
        return BatchResult(self.total, self.enqueued, self._duplicates, self._refused_count, tuple(self._refused))


async def _slices(items: Items, size: int) -> AsyncGenerator[list[Any], None]:
    if not isinstance(items, AsyncIterable):
        rest = iter(items)
        while batch := list(islice(rest, size)):
            yield batch
        return
    batch = []
    async for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


async def _tell(callback: Callable[..., Any] | None, *words: Any) -> None:
    answer = callback(*words) if callback else None
    if inspect.isawaitable(answer):
        await answer
