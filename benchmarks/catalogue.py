"""What can be measured, in the order in which it is: each measurement by its name, with the metrics that it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import measurements
from benchmarks.figures import Metric

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measurements import Lab, Sizes, Values
    from benchmarks.roster import Contender

# Headings of the tables.
THROUGHPUT = "Throughput, jobs a second"
PICKUP = "Pickup, milliseconds"
BACKLOG = "Drain against backlog, jobs a second"
WORKERS = "Drain against worker processes, jobs a second"
COST = "Cost in Redis, for each job"
RENDERING = "Rendering, seconds"


@dataclass(frozen=True, slots=True)
class Bench:
    """One measurement and the metrics that it gives."""

    name: str
    measure: Callable[[Lab, Contender], Values]
    metrics: list[Metric]
    ours_only: bool = False


def rate(key: str, title: str, group: str) -> Metric:
    """Describe a number of jobs a second."""
    return Metric(key, title, "jobs/s", group)


def less(key: str, title: str, unit: str, group: str, digits: int = 2) -> Metric:
    """Describe something that is better when there is less of it."""
    return Metric(key, title, unit, group, digits, more_is_better=False)


PICKUP_METRICS = [less("pickup-p50", "idle p50", "ms", PICKUP), less("pickup-p99", "idle p99", "ms", PICKUP)]
LOAD_METRICS = [
    less("load-p50", "half load p50", "ms", PICKUP),
    less("load-p99", "half load p99", "ms", PICKUP),
    Metric("load-rate", "half load, jobs/s", "jobs/s", PICKUP, more_is_better=None),
]
COST_METRICS = [
    less("bytes-waiting", "bytes, waiting", "bytes/job", COST, 0),
    less("bytes-kept", "bytes, done", "bytes/job", COST, 0),
    less("enqueue-commands", "commands, enqueue", "commands/job", COST),
    less("enqueue-reads", "reads, enqueue", "reads/job", COST),
    less("run-commands", "commands, run", "commands/job", COST),
    less("run-reads", "reads, run", "reads/job", COST),
]
RENDERING_METRICS = [
    less("rendering", "one variant", "s", RENDERING),
    less("rendering-sync", "with uv sync", "s", RENDERING),
]


def benches(sizes: Sizes) -> dict[str, Bench]:
    """Give all measurements."""
    backlogs = [rate(f"backlog-{count}", f"{count:,} waiting", BACKLOG) for count in sizes.backlogs]
    workers = [rate(f"workers-{count}", f"{count} worker{'s' * (count > 1)}", WORKERS) for count in sizes.workers]
    table = [
        Bench("enqueue", measurements.measure_enqueue, [rate("enqueue", "enqueue, one by one", THROUGHPUT)]),
        Bench("bulk", measurements.measure_bulk, [rate("bulk", "enqueue, bulk", THROUGHPUT)]),
        Bench("drain", measurements.measure_drain, [rate("drain", "drain, no-op", THROUGHPUT)]),
        Bench("pause", measurements.measure_pause, [rate("pause", "drain, 5 ms", THROUGHPUT)]),
        Bench("pickup", measurements.measure_pickup, PICKUP_METRICS),
        Bench("load", measurements.measure_load, LOAD_METRICS),
        Bench("backlog", measurements.measure_backlog, backlogs),
        Bench("workers", measurements.measure_workers, workers),
        Bench("cost", measurements.measure_cost, COST_METRICS),
        Bench("idle", measurements.measure_idle, [less("idle-commands", "commands/s, idle", "commands/s", COST, 1)]),
        Bench("rendering", measurements.measure_rendering, RENDERING_METRICS, ours_only=True),
    ]
    return {bench.name: bench for bench in table}
