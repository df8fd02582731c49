"""How each thing is measured: the same for all peers. The docstring of a function says what its figure means."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import quantiles
from typing import TYPE_CHECKING

from benchmarks.roster import OURS
from benchmarks.trials import Trial

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.environments import Environment, Workshop
    from benchmarks.roster import Contender
    from benchmarks.server import Server

#: Jobs that show that a worker is up before it is measured.
WARM_UP = 5
#: Jobs a second that leave a worker idle, all but for a moment now and then.
IDLE_RATE = 10.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done; the counts are of jobs."""

    enqueue: int = 10_000
    bulk: int = 50_000
    drain: int = 20_000
    pause: int = 10_000
    pickup: int = 200
    load: int = 3_000
    cost: int = 5_000
    backlogs: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    #: How many jobs of a backlog are run.
    window: int = 10_000
    workers: tuple[int, ...] = (1, 2, 4)
    #: Seconds for which an idle worker is watched, and within which anything must have happened.
    watch: float = 10
    patience: float = 1_800


QUICK = Sizes(
    enqueue=200,
    bulk=500,
    drain=300,
    pause=200,
    pickup=20,
    load=100,
    cost=500,
    backlogs=(300, 1_000),
    window=300,
    workers=(1, 2),
    watch=2,
    patience=60,
)


@dataclass(frozen=True, slots=True)
class Lab:
    """What every measurement needs."""

    sizes: Sizes
    server: Server
    workshop: Workshop
    environments: Mapping[str, Environment]

    def trial(self, contender: Contender, jobs: int) -> Trial:
        """Begin a trial; use it as a context manager."""
        return Trial(contender, self.environments[contender.name], self.server, jobs=jobs, patience=self.sizes.patience)


Values = dict[str, float]


def measure_enqueue(lab: Lab, contender: Contender) -> Values:
    """Jobs a second that one producer enqueues, each awaited before the next; no worker runs."""
    jobs = lab.sizes.enqueue
    with lab.trial(contender, jobs + WARM_UP) as trial:
        trial.enqueue("noop", 0, WARM_UP, None)
        return {"enqueue": jobs / trial.enqueue("noop", WARM_UP, WARM_UP + jobs, None)}


def measure_bulk(lab: Lab, contender: Contender) -> Values:
    """Jobs a second that one producer enqueues in the peer's best way for many, a thousand a call; no worker runs."""
    jobs = lab.sizes.bulk
    with lab.trial(contender, jobs + WARM_UP) as trial:
        trial.enqueue("noop", 0, WARM_UP, "bulk")
        return {"bulk": jobs / trial.enqueue("noop", WARM_UP, WARM_UP + jobs, "bulk")}


def drain(lab: Lab, contender: Contender, *, task: str, jobs: int, workers: int = 1) -> float:
    """Jobs a second from the start of the first to the moment when Redis holds none of them any more.

    All are enqueued before the workers, which have been started and have imported everything, are let loose. So the
    start of processes is not measured, and what a peer commits late is.
    """
    with lab.trial(contender, jobs) as trial:
        trial.enqueue(task, 0, jobs, "bulk")
        trial.start_workers(workers)
        trial.release()
        trial.wait_until_run(0, jobs)
        end = trial.wait_until_settled()
        trial.check_once()
        return jobs / ((end - min(trial.ledger.started(0, jobs))) / 1e9)


def measure_drain(lab: Lab, contender: Contender) -> Values:
    """`drain` with jobs that do nothing."""
    return {"drain": drain(lab, contender, task="noop", jobs=lab.sizes.drain)}


def measure_pause(lab: Lab, contender: Contender) -> Values:
    """`drain` with jobs that wait 5 ms: in the event loop where tasks are async, in a thread where they are not."""
    return {"pause": drain(lab, contender, task="pause", jobs=lab.sizes.pause)}


def measure_workers(lab: Lab, contender: Contender) -> Values:
    """`drain` with jobs that do nothing, by several worker processes."""
    return {
        f"workers-{count}": drain(lab, contender, task="noop", jobs=lab.sizes.drain, workers=count)
        for count in lab.sizes.workers
    }


def measure_backlog(lab: Lab, contender: Contender) -> Values:
    """Jobs a second while the first of a backlog are run; how long the rest waits does not matter."""
    values = {}
    for backlog in lab.sizes.backlogs:
        with lab.trial(contender, backlog) as trial:
            trial.enqueue("noop", 0, backlog, "bulk")
            trial.start_workers()
            trial.release()
            trial.wait_until_run(0, min(lab.sizes.window, backlog))
            end = time.monotonic_ns()
            run = trial.check_once(all_jobs=False)
            first = min(started for started in trial.ledger.started(0, backlog) if started)
            values[f"backlog-{backlog}"] = run / ((end - first) / 1e9)
    return values


def with_idle_worker(trial: Trial) -> None:
    """Start a worker, and wait until it has run something."""
    trial.start_workers()
    trial.release()
    trial.enqueue("noop", 0, WARM_UP, None)
    trial.wait_until_run(0, WARM_UP)


def percentiles(waits: list[float], name: str) -> Values:
    """Give p50 and p99 in ms."""
    cuts = quantiles(waits, n=100, method="inclusive")
    return {f"{name}-p50": cuts[49] * 1000, f"{name}-p99": cuts[98] * 1000}


def measure_pickup(lab: Lab, contender: Contender) -> Values:
    """Milliseconds from the call that enqueues a job to its start, ten jobs a second at random moments."""
    last = WARM_UP + lab.sizes.pickup
    with lab.trial(contender, last) as trial:
        with_idle_worker(trial)
        trial.enqueue("noop", WARM_UP, last, IDLE_RATE)
        trial.wait_until_run(WARM_UP, last)
        trial.check_once()
        return percentiles(trial.ledger.waits(WARM_UP, last), "pickup")


def measure_load(lab: Lab, contender: Contender) -> Values:
    """Milliseconds from the call to the start at half of what this peer can do with one producer and one worker.

    What it can do is measured first: jobs enqueued one by one as fast as possible while the worker runs.
    """
    jobs = lab.sizes.load
    full, half = WARM_UP + jobs, WARM_UP + 2 * jobs
    with lab.trial(contender, half) as trial:
        with_idle_worker(trial)
        start = time.monotonic_ns()
        trial.enqueue("noop", WARM_UP, full, None)
        trial.wait_until_run(WARM_UP, full)
        rate = jobs / ((max(trial.ledger.started(WARM_UP, full)) - start) / 1e9) / 2
        trial.enqueue("noop", full, half, rate)
        trial.wait_until_run(full, half)
        trial.check_once()
        return {"load-rate": rate, **percentiles(trial.ledger.waits(full, half), "load")}


def measure_cost(lab: Lab, contender: Contender) -> Values:
    """What a job costs Redis: bytes while it waits and after it has run, commands, and reads from sockets."""
    jobs, server = lab.sizes.cost, lab.server
    with lab.trial(contender, WARM_UP + jobs) as trial:
        trial.enqueue("noop", 0, WARM_UP, None)
        server.reset_counts()
        trial.enqueue("noop", WARM_UP, WARM_UP + jobs, None)
        (enqueued, enqueue_reads), waiting = server.counts(), server.memory()
        trial.start_workers()
        server.reset_counts()
        trial.release()
        trial.wait_until_run(0, WARM_UP + jobs)
        trial.wait_until_settled()
        trial.check_once()
        drained, drain_reads = server.counts()
        return {
            "bytes-waiting": waiting / (WARM_UP + jobs),
            "bytes-kept": server.memory() / (WARM_UP + jobs),
            "enqueue-commands": sum(enqueued.values()) / jobs,
            "enqueue-reads": enqueue_reads / jobs,
            "run-commands": sum(drained.values()) / jobs,
            "run-reads": drain_reads / jobs,
        }


def measure_idle(lab: Lab, contender: Contender) -> Values:
    """Redis commands a second of one worker that has nothing to do."""
    with lab.trial(contender, WARM_UP) as trial:
        with_idle_worker(trial)
        trial.wait_until_settled()
        time.sleep(2)  # what follows the last job
        lab.server.reset_counts()
        time.sleep(lab.sizes.watch)
        return {"idle-commands": sum(lab.server.counts()[0].values()) / lab.sizes.watch}


def measure_rendering(lab: Lab, contender: Contender) -> Values:
    """Seconds to render the redis variant, and to render and install it with all packages in uv's cache."""
    assert contender.name == OURS  # noqa: S101 - see `catalogue.Bench.ours_only`
    rendering, both = lab.workshop.time_rendering()
    return {"rendering": rendering, "rendering-sync": both}
