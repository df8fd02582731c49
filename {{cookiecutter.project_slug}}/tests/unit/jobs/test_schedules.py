"""What can be said of a schedule, and which ticks lead to a run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from arq import cron

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    InvalidJobError,
    InvalidScheduleError,
    JobPriority,
    Misfire,
    PayloadTooLargeError,
    Schedule,
    TaskRegistry,
    UnknownTaskError,
    UnserializableError,
    Worker,
    task,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.schedules.ticks import Due

MINUTE = 60_000


async def report(ctx: dict[str, Any], day: str = "today") -> None: ...


@task(name="mail.send")
async def typed(ctx: dict[str, Any]) -> None: ...


def test_a_schedule_has_sensible_defaults() -> None:
    """Its name is that of its task."""
    schedule = Schedule("report", cron="0 9 * * *")
    assert (schedule.name, schedule.timezone, schedule.misfire) == ("report", "UTC", Misfire.RUN_ONCE)
    assert (schedule.catch_up, schedule.grace, schedule.overlap) == (100, timedelta(minutes=1), True)
    assert Schedule(report, interval=5).name == "report"
    assert Schedule(typed, interval=5).name == "mail.send"


def test_a_schedule_is_brought_into_one_form() -> None:
    """What says the same is the same."""
    schedule = Schedule("report", "daily", interval=5, misfire="skip", priority=8, args=["x"], grace=5)  # type: ignore[arg-type]
    assert schedule == Schedule(
        "report",
        "daily",
        interval=5,
        misfire=Misfire.SKIP,
        priority=JobPriority.HIGH,
        args=("x",),
        grace=timedelta(seconds=5),
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "cron=None: give either this or an interval; interval=None"),
        ({"cron": "* * * * *", "interval": 5}, "give either this or an interval; interval=5"),
        ({"cron": "61 * * * *"}, "cron='61 [*] [*] [*] [*]': minute '61'"),
        ({"cron": "* * * * *", "timezone": "Mars"}, "timezone='Mars': there is no such time zone"),
        ({"interval": 0.5}, "interval=0.5: give from 1 second"),
        ({"interval": 5, "timezone": "Europe/Berlin"}, "timezone='Europe/Berlin': an interval has none"),
        ({"interval": 5, "misfire": "often"}, "misfire='often': give skip, run_once, run_all"),
        ({"interval": 5, "catch_up": 0}, "catch_up=0: give a whole number"),
        ({"interval": 5, "catch_up": 501}, "catch_up=501: give 500 at most"),
        ({"interval": 5, "misfire": ["skip"]}, "misfire=.*: give skip, run_once, run_all"),
        ({"interval": 5, "args": "abc"}, "args='abc': give a list or a tuple"),
        ({"interval": 5, "kwargs": [1]}, "kwargs=.*: give a dict"),
        ({"interval": 5, "kwargs": {1: 2}}, "kwargs=.*: give a dict whose keys are names"),
        ({"interval": 5, "grace": -1}, "grace=-1: give seconds"),
        ({"interval": 5, "grace": 0.5}, "grace=0.5: give 1 second or more"),
        ({"interval": 5, "overlap": "no"}, "overlap='no': give True or False"),
        ({"interval": 5, "queue": "a b"}, "queue='a b'"),
        ({"interval": 5, "priority": 7}, "priority=7: give a JobPriority"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(options: dict[str, Any], problem: str) -> None:
    """The message has the schedule's name, the setting and the value."""
    with pytest.raises(InvalidScheduleError, match=f"^schedule 'daily': .*{problem}"):
        Schedule("report", "daily", **options)


@pytest.mark.parametrize("name", [" x", "x\n", "x" * 201, 5])
def test_a_name_that_nobody_could_type_is_refused(name: Any) -> None:
    """It is part of ids, of log lines and of addresses."""
    with pytest.raises(InvalidScheduleError, match="name="):
        Schedule("report", name, interval=5)


def test_the_task_must_be_registered_and_take_the_arguments() -> None:
    """What no worker could run is refused when the schedule is made."""
    registry = TaskRegistry([report])
    assert Schedule(report, "x", interval=5, kwargs={"day": "monday"}).entry(registry).task == "report"
    with pytest.raises(UnknownTaskError, match="repot"):
        Schedule("repot", interval=5).entry(registry)
    with pytest.raises(InvalidJobError, match="month"):
        Schedule("report", interval=5, kwargs={"month": 5}).entry(registry)


async def test_a_worker_does_not_start_with_arguments_that_cannot_be_stored() -> None:
    """Nor with such as take too much room: no tick would ever come."""
    with pytest.raises(UnserializableError, match="report: argument 'day'"):
        Worker([report], schedules=[Schedule(report, interval=5, kwargs={"day": object()})])
    with pytest.raises(PayloadTooLargeError):
        Worker([report], schedules=[Schedule(report, interval=5, kwargs={"day": "x" * 100})], max_payload=100)


async def test_two_schedules_of_one_name_are_refused() -> None:
    """A worker with such settings does not start; cron jobs of arq count, whose names may be equal among them."""
    one = Schedule(report, "cron:report", interval=5)
    cron_jobs = [cron(report, hour=1), cron(report, hour=2)]
    with pytest.raises(InvalidScheduleError, match="'cron:report': WorkerSettings has 2 of that name"):
        Worker([report], schedules=[one], cron_jobs=cron_jobs)
    Worker([report], cron_jobs=cron_jobs)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"hour": 25}, "hour=25: give 0 to 23"),
        ({"minute": {0, 60}}, "minute={0, 60}: give 0 to 59"),
        ({"weekday": "tue"}, "weekday='tue': give 0 to 6, or a set of these; or one of mon, tues,"),
        ({"weekday": {"mon"}}, "weekday={'mon'}: give 0 to 6"),
        ({"second": set()}, r"second=set\(\): give 0 to 59"),
        ({"month": {2, 4}, "day": 31}, "day=31: there is no such day, so it would never happen"),
    ],
)
@pytest.mark.parametrize("unique", [True, False])
async def test_a_cron_job_of_arq_that_would_never_run_is_refused(
    options: dict[str, Any],
    problem: str,
    unique: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Its time would be looked for without end."""
    with pytest.raises(InvalidScheduleError, match=f"'cron:report': {problem}"):
        Worker([report], cron_jobs=[cron(report, **options, unique=unique)])


@pytest.mark.parametrize(
    ("misfire", "late", "expected"),
    [
        # Three ticks a minute apart, the newest so many minutes late; all within a minute are in time.
        (Misfire.SKIP, 0.5, (3,)),
        (Misfire.SKIP, 2, ()),
        (Misfire.RUN_ONCE, 0.5, (3,)),
        (Misfire.RUN_ONCE, 2, (3,)),
        (Misfire.RUN_ALL, 0.5, (1, 2, 3)),
        (Misfire.RUN_ALL, 2, (1, 2, 3)),
    ],
)
def test_missed_ticks_are_dealt_with_as_told(misfire: Misfire, late: float, expected: tuple[int, ...]) -> None:
    """A run in time stands for what was missed before, unless all are wanted."""
    entry = Schedule("report", interval=60, misfire=misfire).entry(None)
    ticks = tuple(number * MINUTE for number in (1, 2, 3))
    chosen = entry.chosen(Due(ticks, dropped=False, upcoming=4 * MINUTE), round((3 + late) * MINUTE))
    assert chosen == tuple(number * MINUTE for number in expected)


@pytest.mark.parametrize("misfire", list(Misfire))
def test_ticks_within_the_grace_all_run(misfire: Misfire) -> None:
    """They were not missed, so each has its run."""
    entry = Schedule("report", interval=60, misfire=misfire, grace=300).entry(None)
    ticks = (1 * MINUTE, 2 * MINUTE)
    assert entry.chosen(Due(ticks, dropped=False, upcoming=3 * MINUTE), 3 * MINUTE - 1) == ticks


def test_runs_that_may_not_overlap_come_one_at_a_time() -> None:
    """Of several ticks that have come, the newest is run."""
    entry = Schedule("report", interval=60, misfire=Misfire.RUN_ALL, overlap=False).entry(None)
    assert entry.chosen(Due((1, 2, 3), dropped=False, upcoming=4), 10 * MINUTE) == (3,)


def test_the_id_of_a_job_tells_its_tick() -> None:
    """In UTC, and with a way out where that id is taken; arq's own ids have none."""
    entry = Schedule("report", "daily", interval=60).entry(None)
    wanted, other = entry.job_ids(1_767_225_600_000)
    assert wanted == "daily:2026-01-01T00:00:00Z"
    assert other.startswith(f"{wanted}:")
    assert entry.job_ids(1_767_225_600_042)[0] == "daily:2026-01-01T00:00:00.042Z"
