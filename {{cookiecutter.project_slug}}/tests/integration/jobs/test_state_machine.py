"""The life of jobs, against a model: whatever clients and workers do, and however often they die, both agree.

Hypothesis makes up what happens, step by step, and looks at everything in Redis after each. `STATE_MACHINE_EXAMPLES`
in the environment lets it make up so many lives instead of the same few, for a long run.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from datetime import timedelta
from functools import partial, wraps
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import pytest
from arq.worker import Retry
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    JobStatus,
    TaskPool,
    Unique,
    Worker,
    dead_letters,
    keys,
    task,
)
from {{ cookiecutter.__package }}.infrastructure.jobs import pool as pool_module
from {{ cookiecutter.__package }}.infrastructure.jobs.answers import answering
from {{ cookiecutter.__package }}.infrastructure.jobs.connections import close_client, parse_redis_url
from {{ cookiecutter.__package }}.infrastructure.jobs.retention import Retention, trim
from {{ cookiecutter.__package }}.infrastructure.jobs.retries import RetryConfig
from {{ cookiecutter.__package }}.infrastructure.jobs.running.aborts import take_aborts
from {{ cookiecutter.__package }}.infrastructure.jobs.running.attempts import Attempt
from {{ cookiecutter.__package }}.infrastructure.jobs.running.claims import Claim, Claimer
from {{ cookiecutter.__package }}.infrastructure.jobs.running.commits import Committer, End, Return
from {{ cookiecutter.__package }}.infrastructure.jobs.running.leases import LeaseKeeper
from {{ cookiecutter.__package }}.infrastructure.jobs.running.outage import Outage
from {{ cookiecutter.__package }}.infrastructure.jobs.running.served import AGED, ServedQueues

from .job_model import EXPIRES, MAIL, PLAIN, SUSPECT, TASKS, URGENT, Back, Doing, Ending, Hold, Job, Model, Told

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from redis.asyncio import Redis

EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES", "0"))
PROFILE = settings(
    max_examples=EXAMPLES or 80,
    stateful_step_count=40,
    derandomize=not EXAMPLES,  # the same lives each time: a failure has come with a change
    database=None,
    deadline=None,
    print_blob=False,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
#: In the order in which they are claimed from.
LANES = [URGENT, keys.queue(), MAIL]
#: Seconds: a lease that does not lapse, and a delay that does not pass, by themselves.
LEASE, HOUR = 60.0, 3600.0
#: Seconds that Redis may take: it is not what is tested here.
PATIENCE = 30
#: Jobs that are not ended at a time, at most: those of few ids meet more often.
CROWD = 4
#: Which of those that there are at that moment.
PICK = st.integers(0, 11)

P = ParamSpec("P")
T = TypeVar("T")


def in_loop(
    step: Callable[Concatenate[JobMachine, P], Coroutine[Any, Any, None]],
) -> Callable[Concatenate[JobMachine, P], None]:
    """Make a step that hypothesis can call: it knows no asyncio, so each machine has a loop of its own."""

    @wraps(step)
    def take(machine: JobMachine, *args: P.args, **kwargs: P.kwargs) -> None:
        machine.runner.run(step(machine, *args, **kwargs))

    return take  # type: ignore[return-value] # a method, which mypy takes for a function with a named argument


def chosen(options: Iterable[T], number: int) -> T:
    """Give one of them: the same for the same number, as hypothesis wants when it repeats what has failed."""
    rest = list(options)
    return rest[number % len(rest)]


class GiveUpError(Exception):
    """A failure that no other try could mend."""


def tasks_of(*names: str) -> list[Any]:
    """Give tasks that do what the machine wants."""

    async def act(ctx: dict[str, Any]) -> object:
        match ctx["doing"]:
            case Doing.FAIL:
                raise ValueError
            case Doing.GIVE_UP:
                raise GiveUpError
            case Doing.ASK:
                raise Retry
            case Doing.ASK_LATER:
                raise Retry(defer=HOUR)
            case Doing.CANCELLED | Doing.STOPPED:
                raise asyncio.CancelledError
            case Doing.UNSTORABLE:
                return object()
        return "done"

    made = []
    for name in names:
        retry = RetryConfig(max_tries=TASKS[name].max_tries, delay=0, give_up_on=GiveUpError)
        made.append(task(name=name, retry=retry, keep_result=HOUR if TASKS[name].keeps_result else 0)(act))
    return made


class Process:
    """A worker, of which every step is taken by hand."""

    def __init__(self, pool: TaskPool, *names: str) -> None:
        self.worker = Worker(tasks_of(*names), redis_pool=pool, handle_signals=False)
        self.names = names
        self.token = self.worker.presence.record.worker_id
        self.outage = Outage()
        self.claimer = Claimer(
            pool,
            self.token,
            lease=LEASE,
            served=ServedQueues(["default", keys.queue_name(MAIL)], first=keys.queue()),
        )
        #: Jobs that it has claimed since its start.
        self.started = 0
        #: What it thinks that it has, and what has become of it, as far as that is known.
        self.holds: dict[Hold, Claim] = {}
        self.outcomes: dict[Hold, End | Return] = {}

    def take(self, hold: Hold, claim: Claim) -> None:
        """Hold a job; an earlier run of it counts no more, unless it has ended."""
        self.holds = {old: its for old, its in self.holds.items() if old.outcome or its.job_id != claim.job_id}
        self.holds[hold] = claim

    @property
    def leases(self) -> dict[str, Hold]:
        """What it thinks that it has of each job."""
        return {hold.job.job_id: hold for hold in self.holds}

    async def record(self, *, away: bool) -> dict[Hold, bool]:
        """Let all outcomes be recorded, and tell which were."""
        self.outage.noticed = away
        answers: dict[str, bool] = {}

        def recorded(claim: Claim, ours: bool) -> None:  # noqa: FBT001
            answers[f"{claim.job_id}:{claim.stamp}"] = ours

        committer = Committer(self.worker.pool, self.token, outage=self.outage, recorded=recorded)
        for outcome in self.outcomes.values():
            committer.add(outcome)
        await committer.flush()
        return {hold: answers[f"{hold.job.job_id}:{self.holds[hold].stamp}"] for hold in self.outcomes}

    def forget(self) -> None:
        """Hold no longer what has been recorded, or refused."""
        self.holds = {hold: claim for hold, claim in self.holds.items() if hold not in self.outcomes}
        self.outcomes = {}

    async def renew(self, *, away: bool) -> set[Hold]:
        """Let all leases be renewed, and give those that are lost."""
        self.outage.noticed = away
        lost: list[Claim] = []

        async def give_no_sign(_client: Redis) -> None:
            pass

        keeper = LeaseKeeper(
            {job_id: self.holds[hold] for job_id, hold in self.leases.items()},
            self.token,
            lease=LEASE,
            outage=self.outage,
            on_lost=lost.extend,
            sign_of_life=give_no_sign,
        )
        await keeper._renew(self.worker.pool)
        await asyncio.sleep(0)  # it tells the loop as a thread would
        return {self.leases[claim.job_id] for claim in lost}


class JobMachine(RuleBasedStateMachine):
    """Clients and workers of one Redis, and the model."""

    def __init__(self, runner: asyncio.Runner, pool: TaskPool) -> None:
        super().__init__()
        self.runner, self.pool = runner, pool
        self.letters = dead_letters.DeadLetters(pool)
        self.model = Model()
        self.serials = 0
        self._start()

    @in_loop
    async def _start(self) -> None:
        await self.pool.flushall()
        self.processes = [self._process(number) for number in range(3)]

    def _process(self, number: int) -> Process:
        """Start a worker; the third is of the old release, which does not know all tasks."""
        return Process(self.pool, *(name for name, known in TASKS.items() if number < 2 or known.old))

    # What clients do.

    @precondition(lambda self: len(self.model.live) < CROWD)
    @rule(
        name=st.sampled_from(sorted(TASKS)),
        job_id=st.sampled_from(["a", "a", "b", None]),
        later=st.booleans(),
        expires=st.booleans(),
        unique=st.sampled_from([None, None, Unique.PENDING, Unique.FINISHED, timedelta(hours=1)]),
        key=st.sampled_from([None, None, "k"]),
        readable=st.sampled_from([True, True, True, False]),
    )
    @in_loop
    async def enqueue(  # one argument for each option
        self,
        *,
        name: str,
        job_id: str | None,
        later: bool,
        expires: bool,
        unique: Unique | timedelta | None,
        key: str | None,
        readable: bool,
    ) -> None:
        self.serials += 1
        message = self.pool.prepare(
            name,
            job_id=job_id,
            queue=keys.queue_name(TASKS[name].queue),
            priority=keys.priority(TASKS[name].queue),
            defer_by=HOUR if later else None,
            expires=HOUR if expires else None,
            unique=unique,
            idempotency_key=key,
            correlation_id=str(self.serials),
        )
        job = Job(message.job_id, str(self.serials), name, TASKS[name].queue, due=not later, readable=readable)
        if expires:
            job.mark = EXPIRES
        if not readable:  # nobody can tell its queue
            job.queue = keys.queue()
            message = message._replace(payload=b"\xc1", queue_key=job.queue)
        locks = [(key, how) for key, how, _ in message.locks]
        expected = self.model.enqueue(job, chosen=job_id is not None, locks=locks)
        assert await self.pool.send([message], timeout=PATIENCE) == [expected]

    @precondition(lambda self: self.model.live)
    @rule(number=PICK, terminate=st.booleans())
    @in_loop
    async def cancel(self, *, number: int, terminate: bool) -> None:
        job_id = chosen([*self.model.live, *self.model.kept], number)
        expected = self.model.cancel(job_id, terminate=terminate)
        assert await self.pool.cancel(job_id, terminate=terminate) is expected

    @precondition(lambda self: self.model.dead)
    @rule(number=PICK)
    @in_loop
    async def replay(self, *, number: int) -> None:
        job_id = chosen(self.model.dead, number)
        dead = self.model.dead[job_id].job
        new_id = await self.letters.replay(job_id)
        self.model.replay(job_id, Job(new_id, dead.serial, dead.task, dead.queue, readable=dead.readable))

    @precondition(lambda self: self.model.dead)
    @rule(number=PICK)
    @in_loop
    async def discard(self, *, number: int) -> None:
        job_id = chosen(self.model.dead, number)
        del self.model.dead[job_id]
        await self.letters.discard(job_id)

    # What workers do.

    @precondition(lambda self: any(job.due for job in self.model.live.values()))
    @rule(number=st.integers(0, 2), slots=st.integers(1, 3), spare=st.sampled_from([False, False, True]))
    @in_loop
    async def claim(self, *, number: int, slots: int, spare: bool) -> None:
        process = self.processes[number]
        claimable: list[tuple[str, float]] = []
        for lane in LANES:
            free = self.model.claimable(lane, spare_lapsed=spare)
            scored = await self.pool.zrange(lane, 0, -1, withscores=True)
            claimable += [(name.decode(), due) for name, due in scored if name.decode() in free]
        urgent = slots - (process.started + slots) // AGED + process.started // AGED
        wanted = [*claimable[:urgent], *sorted(claimable[urgent:], key=itemgetter(1))][:slots]
        process.started += len(wanted)
        began = asyncio.get_running_loop().time()
        claims, seconds = await process.claimer.claim(slots, spare_lapsed=spare, began=began)
        assert [claim.job_id for claim in claims] == [job_id for job_id, _ in wanted]
        for claim in claims:
            job = self.model.live[claim.job_id]
            hold = self.model.claim(job, process.token, claim.started)
            special = "in time" if claim.special.isdigit() else claim.special
            assert (claim.attempt, claim.losses, special) == (hold.attempt, hold.losses, hold.special)
            assert (claim.queue_key, claim.payload is not None) == (job.queue, True)
            process.take(hold, claim)
        self.model.claimed(LANES, full=len(claims) == slots)
        more = self.model.awake or any(not job.due for job in self.model.live.values())
        assert (seconds is not None) == bool(more)

    @precondition(lambda self: self._running())
    @rule(number=PICK, doing=st.sampled_from(Doing))
    @in_loop
    async def run(self, *, number: int, doing: Doing) -> None:
        """A task runs to its end; what came of it is not recorded yet."""
        process, hold = chosen(self._running(), number)
        job_id, worker, knows_task = hold.job.job_id, process.worker, hold.job.task in process.names
        hold.outcome = hold.comes_to(doing, knows_task=knows_task)
        worker.ctx["doing"], worker.stopping = doing, doing is Doing.STOPPED
        outcome = await Attempt(worker, process.holds[hold]).run()
        assert outcome
        process.outcomes[hold] = outcome
        match hold.outcome, outcome:
            case Ending() as ending, End():
                assert (outcome.status, outcome.dead) == (ending.status, ending.status is JobStatus.FAILED)
                assert (outcome.keep_result >= 0) is ending.keeps_result
            case Back() as back, Return():
                log = json.loads(outcome.log)["outcome"] if outcome.log else ""
                assert (outcome.counts, outcome.delay > 0, log) == (back.counts, back.later, back.log)
                assert outcome.lapsed is (back.mark == SUSPECT)
                if not knows_task:
                    self.model.unknown.add(job_id)
            case _:
                pytest.fail(f"{outcome} instead of {hold.outcome}")

    @precondition(lambda self: self._running())
    @rule(number=PICK)
    @in_loop
    async def leave(self, *, number: int) -> None:
        """A worker that stops gives back what it has not started, as `Consumer.wind_down` does."""
        process, hold = chosen(self._running(), number)
        claim = process.holds[hold]
        hold.outcome = Back(counts=False, mark=SUSPECT if hold.lapsed else PLAIN)
        process.outcomes[hold] = Return(claim, counts=False, lapsed=claim.lapsed)

    @precondition(lambda self: any(process.outcomes for process in self.processes))
    @rule(number=PICK, away=st.booleans(), unanswered=st.sampled_from([False, False, True]))
    @in_loop
    async def record(self, *, number: int, away: bool, unanswered: bool) -> None:
        """What came of jobs is recorded, all at once; a worker that did not get the answer says it again."""
        process = chosen([process for process in self.processes if process.outcomes], number)
        # Ends come first, and those of one call are in the order of their ids.
        holds = sorted(process.outcomes, key=lambda hold: (isinstance(hold.outcome, Back), hold.job.job_id))
        for lapse_is_forgiven in [away, True][: 1 + unanswered]:
            forgiven = lapse_is_forgiven and not self.model.have_namesakes(holds)
            expected = {hold: self.model.record(hold, away=forgiven) for hold in holds}
            assert await process.record(away=forgiven) == expected
            await self._tick()
        process.forget()

    @precondition(lambda self: any(process.holds for process in self.processes))
    @rule(number=PICK, away=st.booleans())
    @in_loop
    async def renew(self, *, number: int, away: bool) -> None:
        """A worker prolongs its leases, and finds which it has lost; its tasks do not know yet."""
        process = chosen([process for process in self.processes if process.holds], number)
        away = away and not self.model.have_namesakes(process.holds)
        lost = {hold for hold in process.leases.values() if not self.model.renew(hold, away=away)}
        assert await process.renew(away=away) == lost

    @precondition(lambda self: any(job.wished for job in self.model.live.values()))
    @rule(number=st.integers(0, 2))
    @in_loop
    async def hear(self, *, number: int) -> None:
        """A worker hears that somebody wants jobs of its to be ended."""
        process = self.processes[number]
        mine = {hold.job.job_id for hold in process.holds if not hold.outcome and hold.special != "aborted"}
        wished = {job_id for job_id in mine if job_id in self.model.live and self.model.live[job_id].wished}
        assert await take_aborts(self.pool, mine) == wished
        process.worker.aborting_tasks |= wished
        for job_id in wished:
            self.model.live[job_id].wished = False
            process.leases[job_id].aborting = True

    @precondition(lambda self: any(process.holds for process in self.processes))
    @rule(number=PICK)
    @in_loop
    async def die(self, *, number: int) -> None:
        """A worker is killed, and another takes its place; the leases lapse some time."""
        number = chosen([number for number, process in enumerate(self.processes) if process.holds], number)
        self.processes[number] = self._process(number)

    @precondition(lambda self: any(map(len, self.model.history.values())))
    @rule(limit=st.integers(0, 3))
    @in_loop
    async def trim(self, *, limit: int) -> None:
        """What is beyond the limits of retention is forgotten, the oldest first."""
        self.model.trim(limit)
        await trim(self.pool, Retention(history=limit, dead_letters=limit))
        await self.pool.delete(keys.QUIET)  # the model knows no lanes without jobs

    # What time does.

    @precondition(lambda self: self._held())
    @rule(number=PICK)
    @in_loop
    async def lapse(self, *, number: int) -> None:
        """A lease is over that was not renewed in time, whether or not its worker lives."""
        job = chosen(self._held(), number)
        self.model.lapse(job)
        await self.pool.delete(keys.in_progress(job.job_id))
        await self._make_due(job)

    @precondition(lambda self: self._waiting())
    @rule(number=PICK)
    @in_loop
    async def come_due(self, *, number: int) -> None:
        await self._make_due(chosen(self._waiting(), number))

    @precondition(lambda self: self._perishable())
    @rule(number=PICK)
    @in_loop
    async def expire(self, *, number: int) -> None:
        """The time to start a job is over."""
        job = chosen(self._perishable(), number)
        job.expired = True
        await self._make_due(job)
        await self.pool.delete(keys.job(job.job_id))

    @precondition(lambda self: self.model.kept)
    @rule(number=PICK)
    @in_loop
    async def forget(self, *, number: int) -> None:
        """The time for which a result is kept is over."""
        job_id = chosen(self.model.kept, number)
        del self.model.kept[job_id]
        await self.pool.delete(keys.result(job_id), keys.cancelled(job_id), keys.attempts(job_id))

    # What holds at any time.

    @invariant()
    @in_loop
    async def agree(self) -> None:
        await self._tick()  # what was put into a queue is due in it, and what comes next comes later
        await self._nothing_is_lost_or_left()
        await self._everybody_is_told()
        await self._ends_are_kept()

    async def _nothing_is_lost_or_left(self) -> None:
        """Redis holds what is needed for the jobs that there are, and nothing else; none has two owners."""
        names = sorted(name.decode() for name in await self.pool.keys("*"))
        async with self.pool.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.pttl(name)
            lasting = {name: ttl == -1 for name, ttl in zip(names, await pipe.execute(), strict=True)}
        counted = {name: False for name in names if name.startswith(keys.statistics(""))}
        assert lasting == self.model.keys() | counted
        now = await self._now()
        for queue in LANES:
            scores = await self.pool.zrange(queue, 0, -1, withscores=True)
            found = {name.decode(): (score % 1, score < now + 1) for name, score in scores}
            jobs = [job for job in self.model.live.values() if job.queue == queue]
            assert found == {job.job_id: (float(f"0.{job.mark or 0}"), job.due) for job in jobs}
        for job in self._held():
            assert await self.pool.get(keys.in_progress(job.job_id)) == str(job.holder).encode()
        wishes = {name.decode() for name in await self.pool.zrange(keys.ABORTS, 0, -1)}
        assert wishes == {job.job_id for job in self.model.live.values() if job.wished}

    async def _everybody_is_told(self) -> None:
        """Each job is in one state, and its record tells it, with all that has happened to it."""
        for job_id in {**self.model.kept, **self.model.live}:
            record = await self.pool.record(job_id)
            expected = self.model.record_of(job_id)
            assert expected == (record and Told.of(record))

    async def _ends_are_kept(self) -> None:
        """The history has every end once, in their order; the dead letters are the jobs that failed."""
        for status, ends in self.model.history.items():
            lines = map(json.loads, await self.pool.zrange(keys.history(status), 0, -1))
            assert [(line[0], line[1], line[3]) for line in lines] == ends
        page = await self.letters.list()
        letters = {letter.job_id: Told.of(letter) for letter in page.jobs}
        assert letters == {job_id: ended.told() for job_id, ended in self.model.dead.items()}

    # How it is done.

    def _held(self) -> list[Job]:
        return [job for job in self.model.live.values() if job.holder]

    def _running(self) -> list[tuple[Process, Hold]]:
        return [(process, hold) for process in self.processes for hold in process.holds if not hold.outcome]

    def _waiting(self) -> list[Job]:
        return [job for job in self.model.live.values() if not job.due and not job.holder]

    def _perishable(self) -> list[Job]:
        return [job for job in self.model.live.values() if job.mark == EXPIRES and not job.expired]

    async def _make_due(self, job: Job) -> None:
        job.due = True
        await self.pool.zadd(job.queue, {job.job_id: await self._now() + float(f"0.{job.mark or 0}")}, xx=True)

    async def _now(self) -> int:
        seconds, microseconds = await self.pool.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def _tick(self) -> None:
        """Wait for the next millisecond of Redis."""
        before = await self._now()
        while await self._now() == before:
            pass


async def connect(url: str) -> TaskPool:
    return TaskPool.from_settings(parse_redis_url(f"{url}?socket_connect_timeout={PATIENCE}"))


def test_jobs_live_as_the_model_says(
    redis_server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is lost, doubled or left behind, whatever clients, workers and time do to jobs."""
    caplog.set_level(logging.CRITICAL, "arq.worker")
    for module in (pool_module, dead_letters):
        monkeypatch.setattr(module, "answering", partial(answering, seconds=PATIENCE))
    with asyncio.Runner() as runner:
        pool = runner.run(connect(redis_server))
        try:
            make: Any = lambda: JobMachine(runner, pool)  # noqa: E731 - hypothesis calls what it calls a class
            run_state_machine_as_test(make, settings=PROFILE)
        finally:
            runner.run(close_client(pool))
