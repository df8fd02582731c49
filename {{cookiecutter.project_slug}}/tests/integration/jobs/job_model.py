"""What the engine promises of jobs, in plain Python: test_state_machine.py compares the real one with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from {{ cookiecutter.__package }}.infrastructure.jobs import FailureCause, JobPriority, JobStatus, keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from {{ cookiecutter.__package }}.infrastructure.jobs import JobRecord


class TaskModel(NamedTuple):
    """What of a task matters to the life of its jobs."""

    max_tries: int
    queue: str = keys.queue()
    keeps_result: bool = True
    #: Whether workers of the old release have it, too.
    old: bool = True


MAIL, URGENT = keys.queue("mail"), keys.queue(priority=JobPriority.HIGH)
TASKS = {
    "patient": TaskModel(3),
    "hasty": TaskModel(1, queue=MAIL),
    "forgetful": TaskModel(2, keeps_result=False),
    "novel": TaskModel(2, old=False),
    "urgent": TaskModel(2, queue=URGENT),
}
#: Marks of a score, see claim.lua.
PLAIN, EXPIRES, LEASED, SUSPECT = "", "25", "5", "75"


class Doing(StrEnum):
    """What a task does."""

    SUCCEED = "succeeds"
    FAIL = "raises what is tried again"
    GIVE_UP = "raises what is not"
    ASK = "asks for another try"
    ASK_LATER = "asks for another try in an hour"
    CANCELLED = "is cancelled"
    STOPPED = "is cancelled, since its worker stops"
    UNSTORABLE = "returns what cannot be stored"


@dataclass(eq=False)
class Job:
    """One acknowledged job."""

    job_id: str
    #: Tells it from others that have had its id.
    serial: str
    task: str
    queue: str
    #: Whether its time has come.
    due: bool = True
    mark: str = PLAIN
    readable: bool = True
    replay_of: str | None = None
    #: Whether its time to start is over.
    expired: bool = False
    #: None: Redis knows of no start.
    starts: int | None = None
    losses: int = 0
    #: What its claim holds; None: nobody has it.
    holder: str | None = None
    #: How its starts have ended.
    attempts: list[str] = field(default_factory=list)
    #: Whether somebody wants it to be ended.
    wished: bool = False
    #: Whether a worker did not know its task.
    unknown: bool = False

    @property
    def status(self) -> JobStatus:
        if self.holder:
            return JobStatus.RUNNING
        if self.starts:
            return JobStatus.RETRYING
        return JobStatus.PENDING if self.due else JobStatus.SCHEDULED

    @property
    def tries(self) -> int:
        return (self.starts or 0) - self.losses

    def told(self, status: JobStatus, tries: int, last: list[str], cause: FailureCause | None = None) -> Told:
        task, *named = (self.task, self.replay_of, self.serial) if self.readable else ("<unknown>", None, None)
        return Told(task, status, tries, [*self.attempts, *last], cause, *named)


class Ending(NamedTuple):
    """How a job ends."""

    status: JobStatus
    tries: int
    cause: FailureCause | None = None
    #: Whether the task was running.
    running: bool = False
    keeps_result: bool = True


class Back(NamedTuple):
    """How a job goes back to its queue."""

    counts: bool = True
    later: bool = False
    mark: str = PLAIN
    log: str = ""


@dataclass(eq=False)
class Hold:
    """What a worker thinks that it has."""

    job: Job
    holder: str
    attempt: int
    losses: int
    #: See `claims.Claim`; `in time`: it had to start, and has.
    special: str
    #: Whether its worker has heard that it is to be ended.
    aborting: bool = False
    #: What has become of it, once that is known.
    outcome: Ending | Back | None = None

    @property
    def lapsed(self) -> bool:
        return self.special == "lapsed"

    def comes_to(self, doing: Doing, *, knows_task: bool) -> Ending | Back:
        """Tell what is to be recorded when the task does this."""
        job, task = self.job, TASKS[self.job.task]
        tries, kept = self.attempt - self.losses, task.keeps_result or not knows_task
        unstarted: tuple[bool, JobStatus, FailureCause | None]
        for unstarted in (
            (not job.readable, JobStatus.FAILED, FailureCause.UNDECODABLE),
            (self.special == "aborted", JobStatus.CANCELLED, None),
            (job.expired, JobStatus.FAILED, FailureCause.EXPIRED),
            (knows_task and self.losses >= task.max_tries, JobStatus.FAILED, FailureCause.LOST_WORKER),
            (knows_task and tries > task.max_tries, JobStatus.FAILED, FailureCause.EXCEPTION),
        ):
            if unstarted[0]:
                return Ending(*unstarted[1:2], tries - 1, unstarted[2], keeps_result=kept or not job.readable)
        if not knows_task:
            return Back(counts=False, later=True)
        last = tries >= task.max_tries
        if doing in {Doing.CANCELLED, Doing.STOPPED}:
            stopped = doing is Doing.STOPPED
            back = Back(counts=not stopped, mark=SUSPECT if stopped and self.lapsed else PLAIN, log="handed_back")
        elif doing in {Doing.ASK, Doing.ASK_LATER} and not last:
            back = Back(later=doing is Doing.ASK_LATER, log="retry")
        elif doing is Doing.FAIL and not last:
            back = Back(log="failed")
        else:
            back = None
        if back:
            ended = Ending(JobStatus.CANCELLED, tries, running=True, keeps_result=kept)
            return ended if self.aborting else back
        if doing is Doing.SUCCEED or (doing is Doing.UNSTORABLE and not kept):
            return Ending(JobStatus.SUCCESS, tries, running=True, keeps_result=kept)
        return Ending(JobStatus.FAILED, tries, FailureCause.EXCEPTION, running=True, keeps_result=kept)


class Told(NamedTuple):
    """What the record of a job says."""

    task: str
    status: str
    tries: int
    attempts: list[str]
    cause: FailureCause | None
    replay_of: str | None
    serial: str | None

    @classmethod
    def of(cls, record: JobRecord) -> Told:
        return cls(
            record.task,
            record.status,
            record.tries,
            [attempt.outcome for attempt in record.attempts],
            record.cause,
            record.replay_of,
            record.correlation_id,
        )


class Ended(NamedTuple):
    """A job that has ended."""

    job: Job
    ending: Ending
    #: By which it was told; None: by whoever has cancelled it.
    hold: Hold | None

    def told(self) -> Told:
        last = [self.ending.status.value] if self.ending.running else []
        return self.job.told(self.ending.status, self.ending.tries, last, self.ending.cause)


class Model:
    """All jobs, and what is kept of those that have ended."""

    def __init__(self) -> None:
        #: Jobs that have not ended, and jobs whose results are kept, by their ids.
        self.live: dict[str, Job] = {}
        self.kept: dict[str, Ended] = {}
        #: Lines of the history: id, task, tries, in the order in which the jobs ended.
        self.history: dict[str, list[tuple[str, str, int]]] = {"success": [], "failed": [], "cancelled": []}
        self.dead: dict[str, Ended] = {}
        self.locks: dict[str, str] = {}
        #: Queues that an idle worker would be woken for.
        self.awake: set[str] = set()
        #: Queues that have ever had a job.
        self.queues: set[str] = set()
        #: Ids of jobs whose tasks some worker did not know, and which nobody else has had since.
        self.unknown: set[str] = set()

    def enqueue(self, job: Job, *, chosen: bool, locks: Sequence[tuple[str, str]]) -> str | None:
        """Take a new job; the answer is what the caller gets."""
        by_key = [key for key, how in locks if how == "key" and key in self.locks]
        if by_key:
            return self.locks[by_key[0]]
        kept = self.kept.get(job.job_id)
        if chosen and (job.job_id in self.live or (kept and kept.ending.status is not JobStatus.CANCELLED)):
            return None
        if any(self._stands(self.locks[key], how) for key, how in locks if key in self.locks):
            return None
        self.kept.pop(job.job_id, None)
        self.unknown.discard(job.job_id)
        self._put(job, locks)
        return job.job_id

    def _stands(self, job_id: str, how: str) -> bool:
        """Tell whether a job keeps out others that are the same; it is known by its id alone."""
        job = self.live.get(job_id)
        if how == "period":
            return True
        return job is not None and not job.expired and (how == "unfinished" or not job.starts)

    def _put(self, job: Job, locks: Sequence[tuple[str, str]] = ()) -> None:
        self.live[job.job_id] = job
        self.locks |= dict.fromkeys((key for key, _ in locks), job.job_id)
        self.awake.add(keys.queue_of(job.queue))
        self.queues.add(job.queue)

    def claimable(self, queue: str, *, spare_lapsed: bool) -> set[str]:
        """Give the ids of the jobs that a worker may have."""
        return {
            job.job_id
            for job in self.live.values()
            if job.queue == queue and job.due and not job.holder and not (spare_lapsed and job.mark == LEASED)
        }

    def claim(self, job: Job, token: str, now: int) -> Hold:
        """Give a worker a job."""
        assert job.due
        assert not job.holder
        job.starts = (job.starts or 0) + 1
        if job.mark == LEASED:
            job.losses += 1
            job.attempts.append("lost")
        special = (
            "expired" if job.expired else {SUSPECT: "lapsed", LEASED: "lapsed", EXPIRES: "in time"}.get(job.mark, "")
        )
        if job.wished:
            special = "aborted"
        job.holder, job.mark, job.due = f"{token}:{job.starts}:{now}", LEASED, False
        return Hold(job, job.holder, job.starts, job.losses, special)

    def claimed(self, queues: Sequence[str], *, full: bool) -> None:
        """Whoever has claimed all that it can leaves a word where there is more; else nobody need be woken."""
        self.awake = {
            keys.queue_of(queue)
            for queue in queues
            if full and any(job.due for job in self.live.values() if job.queue == queue)
        }

    def lapse(self, job: Job) -> None:
        """The lease of a job is over, and was not renewed."""
        job.holder, job.due = None, True

    def renew(self, hold: Hold, *, away: bool) -> bool:
        """Prolong a lease; False if it is lost."""
        job = hold.job
        if self._is_held(hold) or (away and self._has_lapsed_for(hold)):
            job.holder, job.due = hold.holder, False
            return True
        return False

    def record(self, hold: Hold, *, away: bool) -> bool:
        """Take note of what has become of a job; False if the lease was lost before."""
        if isinstance(hold.outcome, Ending):
            return self._end(hold, hold.outcome, away=away)
        assert hold.outcome
        return self._put_back(hold, hold.outcome, away=away)

    def have_namesakes(self, holds: Iterable[Hold]) -> bool:
        """Tell whether the id of one of these jobs is another job's by now.

        Where a lapse is forgiven, it is the number of the start that counts, and a namesake may have come to the same:
        whoever has been away for so long might be taken for its worker, if that has lost its lease as well.
        """
        return any(self.live.get(hold.job.job_id, hold.job) is not hold.job for hold in holds)

    def _is_held(self, hold: Hold) -> bool:
        return self.live.get(hold.job.job_id) is hold.job and hold.job.holder == hold.holder

    def _is_free_since(self, hold: Hold) -> bool:
        """Tell whether nobody has the job, and nobody has claimed it since this one did."""
        job = hold.job
        return self.live.get(job.job_id) is job and not job.holder and job.starts == hold.attempt

    def _has_lapsed_for(self, hold: Hold) -> bool:
        """Tell whether the job is still as the lapse of this lease has left it."""
        return self._is_free_since(hold) and hold.job.mark == LEASED

    def _end(self, hold: Hold, ending: Ending, *, away: bool) -> bool:
        if self._is_held(hold) or (away and self._is_free_since(hold)):
            self._finish(hold.job, ending, hold)
            return True
        now = self.live.get(hold.job.job_id)
        if away and (now is None or now.starts is None):
            # The call may be one that was answered, and the answer lost; where no result is kept, nobody can tell.
            kept = self.kept.get(hold.job.job_id)
            return not ending.keeps_result or (kept is not None and kept.hold is hold)
        return False

    def _put_back(self, hold: Hold, back: Back, *, away: bool) -> bool:
        job = hold.job
        if self._is_held(hold) or (away and self._has_lapsed_for(hold)):
            job.holder, job.due, job.mark = None, not back.later, back.mark
            job.starts = hold.attempt - (not back.counts)
            if back.log:
                job.attempts.append(back.log)
            self.awake.add(keys.queue_of(job.queue))
            return True
        # Again, the answer may have been lost.
        now = self.live.get(job.job_id)
        return away and now is not None and not now.holder and now.starts == hold.attempt - (not back.counts)

    def cancel(self, job_id: str, *, terminate: bool) -> bool:
        """End a job that waits; leave the wish with one that runs."""
        job = self.live.get(job_id)
        if job is None or job.expired:
            return False
        if job.holder:
            job.wished = job.wished or terminate
            return terminate
        self._finish(job, Ending(JobStatus.CANCELLED, job.tries), None)
        self.unknown.discard(job_id)
        return True

    def _finish(self, job: Job, ending: Ending, hold: Hold | None) -> None:
        del self.live[job.job_id]
        if ending.keeps_result:
            self.kept[job.job_id] = Ended(job, ending, hold)
        if ending.status is JobStatus.FAILED:
            self.dead.pop(job.job_id, None)  # the last to die is the last of them
            self.dead[job.job_id] = Ended(job, ending, hold)
        self.history[ending.status].append((job.job_id, job.told(ending.status, 0, []).task, ending.tries))

    def replay(self, job_id: str, replayed: Job) -> None:
        """Make a new job of a dead letter."""
        letter = self.dead.pop(job_id)
        replayed.replay_of = letter.job.replay_of or job_id
        self._put(replayed)

    def record_of(self, job_id: str) -> Told | None:
        """Give what is known of a job."""
        job = self.live.get(job_id)
        if job is None:
            return self.kept[job_id].told()
        if job.expired:  # a worker will say so
            return None
        return job.told(job.status, job.tries, ["running"] if job.holder else [])

    def trim(self, limit: int) -> None:
        """Forget the oldest ends beyond the limit."""
        for lines in self.history.values():
            del lines[: max(0, len(lines) - limit)]
        for job_id in list(self.dead)[: max(0, len(self.dead) - limit)]:
            del self.dead[job_id]

    def keys(self) -> dict[str, bool]:
        """Give every key that is to be there, and whether it stays until somebody removes it."""
        found = dict.fromkeys(self.locks, False)
        for job_id, job in self.live.items():
            waits = job.mark == EXPIRES
            lasting: dict[str, bool | None] = {
                keys.job(job_id): None if job.expired else not waits,
                keys.expiring(job_id): False if waits or job.expired else None,
                keys.tries(job_id): None if job.starts is None else True,
                keys.lost(job_id): True if job.losses else None,
                keys.in_progress(job_id): False if job.holder else None,
                keys.attempts(job_id): False if job.attempts else None,
                job.queue: True,
            }
            found |= {key: stays for key, stays in lasting.items() if stays is not None}
        for job_id, ended in self.kept.items():
            found[keys.result(job_id)] = False
            if ended.ending.status is JobStatus.CANCELLED:
                found[keys.cancelled(job_id)] = False
            if ended.job.attempts:
                found[keys.attempts(job_id)] = False
        for job_id, letter in self.dead.items():
            found[keys.dead_letter(job_id)] = found[keys.DEAD] = True
            if letter.job.attempts:
                found[keys.dead_attempts(job_id)] = True
        found |= {keys.history(status): True for status, lines in self.history.items() if lines}
        found |= {keys.unknown(job_id): False for job_id in self.unknown}
        found |= {keys.wake(queue): True for queue in self.awake}
        if any(job.wished for job in self.live.values()):
            found[keys.ABORTS] = True
        if self.queues:
            found[keys.QUEUES] = True
        return found
