"""Jobs whose last try has failed: looking at them, running them again, or throwing them away."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Unpack

from . import keys, scripts
from .answers import answering
from .errors import DeadLetterNotFoundError, JobError, UnreplayableError
from .letters import BULK_TIMEOUT, Letter, LetterFilter, LetterFilters, LetterStore, new_message
from .messages import Message
from .paging import LOOK, Cursor, Page, check_limit, pick

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

    from .paging import Entry
    from .pool import TaskPool
    from .records import JobRecord

logger = logging.getLogger(__name__)

#: The one part of a list.
PART = "dead"


class DeadLetters:
    """The dead letters of a Redis.

    Where several are meant these filters choose them, and None stands for any: `task` and `queue`, by name; `cause`, a
    `FailureCause` or several; `since` and `until`, between which they died, the latter left out.
    """

    def __init__(self, pool: TaskPool) -> None:
        self._pool = pool
        self._store = LetterStore(pool)
        self._replay = scripts.script(pool, "replay")
        self._held = scripts.script(pool, "held")
        self._discard = scripts.script(pool, "discard")

    async def count(self) -> int:
        """Count them all.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        async with answering("number of dead letters"):
            number: int = await self._pool.zcard(keys.DEAD)
        return number

    async def get(self, job_id: str) -> JobRecord:
        """Give all that is known of one.

        Raises:
            DeadLetterNotFoundError: there is none of that id.
            QueueUnavailable: Redis does not answer.
        """
        async with answering(f"dead letter {job_id}"):
            [record] = await self._store.records([await self._store.read_one(job_id)])
        return record

    async def list(
        self, *, limit: int = 50, cursor: str | None = None, **filters: Unpack[LetterFilters]
    ) -> Page[JobRecord]:
        """List them, the latest first, a page at a time.

        A call looks at 1,000 of them at most. So a page may hold fewer than `limit`, or none, and a cursor all the
        same: it is the last one when there is no cursor. Each is given once, whatever dies, is replayed or discarded
        meanwhile.

        Args:
            limit: how many on one page, 1,000 at most.
            cursor: of the page before this one, which was asked for with the same filters.
            filters: see the class.

        Raises:
            InvalidQueryError: an argument makes no sense; the message says which.
            QueueUnavailable: Redis does not answer.
        """
        wanted = LetterFilter.of(filters)
        place = Cursor.decode(cursor, [PART])
        look = check_limit(limit) if wanted.everything else LOOK
        last, first = wanted.span.bounds
        after = (place.score, place.job_id.encode()) if place.score else None

        async def read(entries: Sequence[Entry]) -> Sequence[Letter | None]:
            return await self._store.read(entries, wanted)

        async with answering("list of dead letters"):
            entries = await self._store.sets.read([keys.DEAD], look + 1, down=True, first=first, last=last, after=after)
            letters, end = await pick(entries, read, limit=check_limit(limit), look=look)
            records = await self._store.records(letters)
        return Page(tuple(records), Cursor(PART, end.score, end.name.decode()).encode() if end else None)

    async def replay(
        self,
        job_id: str,
        *,
        task: str | None = None,
        args: tuple[Any, ...] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        defer_by: float | timedelta | None = None,
    ) -> str:
        """Make a new job of one, which then is no dead letter any more; both happen in one step.

        The new job has all its tries. Its record says under `replay_of` what it replays: the first job, where that was
        a replay itself. One that could not be read, and still cannot, is enqueued as it was stored, for a worker that
        can; its record does not say what it replays.

        Args:
            job_id: id of the dead letter.
            task: another task, such as the new name of one that was renamed; by default the same.
            args: other positional arguments; by default the same.
            kwargs: other named arguments, all of them; by default the same.
            queue: name of another queue; by default the same.
            defer_by: seconds (or a timedelta) from now.

        Returns:
            The id of the new job.

        Raises:
            DeadLetterNotFoundError: there is none of that id; somebody else may just have replayed it.
            UnreplayableError: what it was to do is not known, or its task is unique and the same job is there.
            UnknownTaskError: no task has the name given by `task`.
            InvalidJobError: the edited arguments do not fit the task.
            UnserializableError: an edited argument cannot be stored.
            QueueUnavailable: Redis does not answer. It may have been replayed all the same; trying again does no harm.
        """
        async with answering(f"dead letter {job_id}"):
            letter = await self._store.read_one(job_id)
        message = new_message(self._pool, letter, task=task, args=args, kwargs=kwargs, queue=queue, defer_by=defer_by)
        async with answering(f"dead letter {job_id}"):
            [answer] = await self._send([(letter, message)])
        if problem := _problem(letter, message, answer):
            raise problem
        return message.job_id

    async def replay_all(
        self, *, progress: Callable[[int], object] | None = None, **filters: Unpack[LetterFilters]
    ) -> int:
        """Replay all that are meant, the earliest first, in steps of 100 at most.

        Those that die meanwhile are left alone. One that cannot be replayed stays, and the log says why.

        Args:
            progress: called after each step with how many were replayed so far.
            filters: see the class.

        Returns:
            How many were replayed.

        Raises:
            InvalidQueryError: a filter makes no sense; the message says which.
            QueueUnavailable: Redis does not answer; some may have been replayed.
        """
        replayed = 0
        async for letters in self._store.steps(LetterFilter.of(filters)):
            replayed += (await self.replay_some(letters)).count(None)
            if progress:
                progress(replayed)
        return replayed

    async def replay_some(self, letters: Sequence[Letter]) -> Sequence[JobError | None]:
        """Replay letters that were read, in one step; give for each why it was not, or None.

        One that cannot be replayed stays, and the log says why.

        Raises:
            QueueUnavailable: Redis does not answer; some may have been replayed.
        """
        made = [self._message(letter) for letter in letters]
        pairs = [(letter, new) for letter, new in zip(letters, made, strict=True) if isinstance(new, Message)]
        async with answering("dead letters", BULK_TIMEOUT):
            answers = iter(await self._send(pairs))
        problems = [
            _problem(letter, new, next(answers)) if isinstance(new, Message) else new
            for letter, new in zip(letters, made, strict=True)
        ]
        for letter, problem in zip(letters, problems, strict=True):
            if problem:
                logger.warning("dead letter %s stays: %s", letter.job_id, problem)
        return problems

    async def would_replay(self, letters: Sequence[Letter], taken: set[str]) -> Sequence[bool]:
        """Tell which of them `replay_some` would replay now, and change nothing.

        Args:
            letters: what was read.
            taken: gets the keys of the locks that their jobs would take, and keep from those that come later.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        made = [self._message(letter) for letter in letters]
        messages = [new for new in made if isinstance(new, Message)]
        held: Sequence[int] = [0] * len(messages)
        if any(message.locks for message in messages):
            async with answering("dead letters", BULK_TIMEOUT):
                held = await self._held(args=[scripts.packed([message.locks for message in messages])])
        would: set[str] = set()
        for message, is_held in zip(messages, held, strict=True):
            names = {lock[0] for lock in message.locks}
            if not is_held and names.isdisjoint(taken):
                taken |= names
                would.add(message.job_id)
        return [isinstance(new, Message) and new.job_id in would for new in made]

    async def discard_some(self, letters: Sequence[Letter]) -> int:
        """Throw letters away that were read, in one step, and give how many were there.

        Raises:
            QueueUnavailable: Redis does not answer; some may have been thrown away.
        """
        async with answering("dead letters", BULK_TIMEOUT):
            gone = [(letter.job_id, letter.died) for letter in letters]
            count: int = await self._discard(args=[scripts.packed(gone)])
        return count

    async def discard(self, job_id: str) -> None:
        """Throw one away.

        Raises:
            DeadLetterNotFoundError: there is none of that id.
            QueueUnavailable: Redis does not answer.
        """
        async with answering(f"dead letter {job_id}"):
            died = await self._pool.zscore(keys.DEAD, job_id)
            found = died is not None and await self._discard(args=[scripts.packed([(job_id, died)])])
        if not found:
            raise DeadLetterNotFoundError(job_id)

    async def discard_all(self, **filters: Unpack[LetterFilters]) -> int:
        """Throw away all that are meant, in steps of 100 at most; those that die meanwhile are left alone.

        Args:
            filters: see the class.

        Returns:
            How many were thrown away.

        Raises:
            InvalidQueryError: a filter makes no sense; the message says which.
            QueueUnavailable: Redis does not answer; some may have been thrown away.
        """
        count = 0
        async for letters in self._store.steps(LetterFilter.of(filters)):
            count += await self.discard_some(letters)
        return count

    def _message(self, letter: Letter) -> Message | JobError:
        try:
            return new_message(self._pool, letter)
        except JobError as error:
            return error

    async def _send(self, pairs: Sequence[tuple[Letter, Message]]) -> Sequence[Any]:
        jobs = [(old.job_id, old.died, new.job_id, new.queue_key, new.due, new.delay, new.locks) for old, new in pairs]
        answers: Sequence[Any] = await self._replay(args=[scripts.packed(jobs), *[new.payload for _, new in pairs]])
        return answers


def _problem(letter: Letter, message: Message, answer: Any) -> JobError | None:
    """Say what the answer of `replay.lua` means; None: it was replayed."""
    if answer == 0:
        return DeadLetterNotFoundError(letter.job_id)
    if isinstance(answer, Exception):
        refusal = JobError(f"job {letter.job_id} is not replayed: Redis refused: {answer}")
        refusal.__cause__ = answer
        return refusal
    if answer != 1:
        problem = f"{message.task} is unique, and job {answer[1].decode()} is the same"
        return UnreplayableError(letter.job_id, problem)
    return None
