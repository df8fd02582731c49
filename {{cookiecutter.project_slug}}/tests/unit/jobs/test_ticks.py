"""When schedules are due, daylight-saving changes included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from arq import cron

from {{ cookiecutter.__package }}.infrastructure.jobs import InvalidPolicyError
from {{ cookiecutter.__package }}.infrastructure.jobs.schedules.ticks import (
    ArqRecurrence,
    CronRecurrence,
    IntervalRecurrence,
    recurrence,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from {{ cookiecutter.__package }}.infrastructure.jobs.schedules.ticks import Recurrence

BERLIN, NEW_YORK, SYDNEY = "Europe/Berlin", "America/New_York", "Australia/Sydney"


def ms(text: str) -> int:
    """Read a moment, in UTC unless it says otherwise."""
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def first(ticks: Recurrence, since: str, count: int) -> list[str]:
    """Give the first ticks after a moment in UTC, in UTC."""
    return [f"{datetime.fromtimestamp(tick / 1000, UTC):%m-%d %H:%M}" for tick in islice(ticks.after(ms(since)), count)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 9 * * *", ["01-01 09:00", "01-02 09:00"]),
        ("*/20 8-9 * * *", ["01-01 08:00", "01-01 08:20", "01-01 08:40", "01-01 09:00"]),
        ("0 0 * * MON-FRI", ["01-02 00:00", "01-05 00:00"]),
        ("0 0 * * sun", ["01-04 00:00", "01-11 00:00"]),
        ("0 0 * * 7", ["01-04 00:00", "01-11 00:00"]),
        ("30 6,18 * JAN,mar 1-7/2", ["01-02 06:30", "01-02 18:30", "01-04 06:30", "01-04 18:30", "01-05 06:30"]),
        ("0 0 13 * FRI", ["01-02 00:00", "01-09 00:00", "01-13 00:00"]),
        ("0 0 L * *", ["01-31 00:00", "02-28 00:00"]),
        ("0 0 * * MON#2", ["01-12 00:00", "02-09 00:00"]),
        ("0 0 29 2 *", ["02-29 00:00"]),
        ("  0   12 1 1 * ", ["01-01 12:00"]),
    ],
)
def test_names_ranges_steps_and_lists_are_read(expression: str, expected: list[str]) -> None:
    """Each field takes them, in any case; of two restricted days either is enough."""
    assert first(CronRecurrence.of(expression, "UTC"), "2026-01-01T00:00", len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("61 * * * *", "minute '61': give 0 to 59; also"),
        ("* 24 * * *", "hour '24': give 0 to 23; also"),
        ("* * 0 * *", "day of month '0': give 1 to 31, L"),
        ("* * * 13 *", "month '13': give 1 to 12, or JAN to DEC"),
        ("* * * MON *", "month 'MON': give 1 to 12"),
        ("* * * * FOO", "day of week 'FOO': give 0 to 7"),
        ("* * * * 8", "day of week '8'"),
        ("0,10,x * * * *", "minute 'x'"),
        ("0,,10 * * * *", "minute ''"),
        ("* 17-9 * * *", "hour '17-9': the range runs backwards; give 9-17, or two ranges"),
        ("* * L-3 * *", "day of month 'L-3': give 1 to 31"),
        ("0-59/0 * * * *", "minute '0-59/0': a step is 1 or more"),
        ("*/0 * * * *", "minute '*/0': a step is 1 or more"),
        ("5-5/3 * * * *", "minute '5-5/3': a range of one has no step, give 5"),
        ("5- * * * *", "minute '5-'"),
        (f"{'9' * 400} * * * *", "minute '999"),
        ("? * * * *", "minute '?'"),
        ("0 0 30 2 *", "there is no such day, so it would never happen"),
        ("0 0 31 4,6,9,11 *", "there is no such day"),
        ("0 0 LW * */7", "there is no such day"),
        ("* * * *", "it has 4 fields, give 5: minute, hour, day of month, month, day of week"),
        ("0 0 9 * * *", "it has 6 fields, give 5: .*; there is none for seconds, see `interval`"),
        ("@daily", "it has 1 field, give"),
        ("", "it has 0 fields"),
        ("* " * 300, "it is too long, give 500 characters at most"),
        (5, "give a text of 5 fields"),
    ],
)
def test_a_bad_expression_is_refused_with_field_and_reason(expression: Any, problem: str) -> None:
    """Also one that each field alone would allow, but that never happens."""
    with pytest.raises(InvalidPolicyError, match=rf"(?s)^cron=.*: {problem.replace('*', '[*]').replace('.[*]', '.*')}"):
        CronRecurrence.of(expression, "UTC")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("Europe/Berlim", "did you mean 'Europe/Berlin'"), ("nowhere at all", "give a name"), ("../x", "."), (5, ".")],
)
def test_an_unknown_time_zone_is_refused_by_name(name: Any, hint: str) -> None:
    """The message suggests one that is near."""
    with pytest.raises(InvalidPolicyError, match=f"^timezone={name!r}: there is no such time zone; .*{hint}"):
        CronRecurrence.of("0 0 * * *", name)


@pytest.mark.parametrize(
    ("zone", "since", "expected"),
    [
        # 2:00 becomes 3:00 on 29 March, 8 March and 4 October.
        (BERLIN, "2026-03-27T12:00", ["03-28 01:30", "03-29 01:00", "03-30 00:30"]),
        (NEW_YORK, "2026-03-06T12:00", ["03-07 07:30", "03-08 07:00", "03-09 06:30"]),
        (SYDNEY, "2026-10-02T12:00", ["10-02 16:30", "10-03 16:00", "10-04 15:30"]),
        # 3:00 (2:00 in New York) becomes an hour earlier on 25 October, 1 November and 5 April.
        (BERLIN, "2026-10-23T12:00", ["10-24 00:30", "10-25 00:30", "10-26 01:30"]),
        (SYDNEY, "2026-04-03T12:00", ["04-03 15:30", "04-04 15:30", "04-05 16:30"]),
    ],
)
def test_a_daily_job_runs_once_on_the_days_of_a_change(zone: str, since: str, expected: list[str]) -> None:
    """2:30 is at 3:00 where it is left out, and the first of the two where it comes twice."""
    assert first(CronRecurrence.of("30 2 * * *", zone), since, 3) == expected


def test_an_hour_that_comes_twice_counts_once_in_new_york() -> None:
    """1:30 is the hour that comes twice there."""
    ticks = first(CronRecurrence.of("30 1 * * *", NEW_YORK), "2026-10-31T00:00", 3)
    assert ticks == ["10-31 05:30", "11-01 05:30", "11-02 06:30"]


def test_a_schedule_made_within_the_second_of_the_hours_waits_for_the_next_day() -> None:
    """The tick of the first of them is over, and no tick lies before the moment that is asked for."""
    berlin = CronRecurrence.of("30 2 * * *", BERLIN)
    assert first(berlin, "2026-10-25T01:15", 1) == ["10-26 01:30"]


def test_times_that_are_left_out_are_one_tick() -> None:
    """2:00, 2:20 and 2:40 are all at 3:00, once."""
    ticks = first(CronRecurrence.of("0,20,40 2 * * *", BERLIN), "2026-03-28T23:00", 4)
    assert ticks == ["03-29 01:00", "03-30 00:00", "03-30 00:20", "03-30 00:40"]


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        *[(BERLIN, "2026-03-29T01:00"), (BERLIN, "2026-10-25T01:00")],
        *[(NEW_YORK, "2026-03-08T07:00"), (NEW_YORK, "2026-11-01T06:00")],
        *[(SYDNEY, "2026-10-03T16:00"), (SYDNEY, "2026-04-04T16:00")],
    ],
)
@pytest.mark.parametrize(("expression", "minutes"), [("0 * * * *", 60), ("*/15 * * * *", 15)])
def test_what_runs_every_hour_or_more_often_goes_by_real_time(
    expression: str, minutes: int, zone: str, change: str
) -> None:
    """No tick is left out, and none comes twice, through both changes."""
    begin = ms(change) - 6 * 3_600_000
    ticks = list(islice(CronRecurrence.of(expression, zone).after(begin), 12 * 60 // minutes))
    assert ticks == [begin + minutes * 60_000 * number for number in range(1, len(ticks) + 1)]


@pytest.mark.parametrize(
    ("expression", "zone", "since", "expected"),
    [
        # On Chatham Island 3:45 becomes 2:45 on 5 April, and 2:45 becomes 3:45 on 27 September.
        ("*/30 3 * * *", "Pacific/Chatham", "2026-04-04T00:00", ["04-04 13:15", "04-04 13:45", "04-04 14:15"]),
        ("*/15 3 * * *", "Pacific/Chatham", "2026-09-26T12:00", ["09-26 14:00", "09-27 13:15"]),
        ("*/17 3 * * */3", "Pacific/Chatham", "2020-04-04T12:00", ["04-04 13:15", "04-04 13:32"]),
        # At Lord Howe Island 2:00 becomes 1:30 on 5 April.
        ("*/30 3 * * *", "Australia/Lord_Howe", "2026-04-04T12:00", ["04-04 16:30", "04-04 17:00", "04-05 16:30"]),
        ("*/30 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00", ["04-04 14:00", "04-04 14:30", "04-04 15:00"]),
        # In Havana there is no hour from 0:00 on 8 March.
        ("*/30 0 * * *", "America/Havana", "2026-03-07T12:00", ["03-09 04:00", "03-09 04:30"]),
        # An hour that comes twice, seen from the first of the two, and only in it.
        ("*/30 2 25 10 *", BERLIN, "2026-10-25T00:45", ["10-25 01:00", "10-25 01:30", "10-25 00:00"]),
    ],
)
def test_whatever_a_change_is_like_the_clock_is_right(
    expression: str, zone: str, since: str, expected: list[str]
) -> None:
    """Nothing is left out, nothing comes at times that are not meant, and it ends."""
    assert first(CronRecurrence.of(expression, zone), since, len(expected)) == expected


def test_a_change_of_half_an_hour_is_a_change_too() -> None:
    """At Lord Howe Island, the clocks move by that much."""
    ticks = first(CronRecurrence.of("0 3 * * *", "Australia/Lord_Howe"), "2026-10-02T00:00", 2)
    assert ticks == ["10-02 16:30", "10-03 16:00"]


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (1, "every second"),
        (timedelta(minutes=5), "every 5 minutes"),
        (90, "every 1 minute 30 seconds"),
        (timedelta(hours=1), "every hour"),
        (timedelta(days=1, milliseconds=2), "every 1 day 2 milliseconds"),
    ],
)
def test_an_interval_counts_from_its_beginning(interval: float | timedelta, text: str) -> None:
    """So it never drifts."""
    ticks = IntervalRecurrence.of(interval)
    assert ticks.text == text
    assert list(islice(ticks.after(7), 3)) == [7 + ticks.every * number for number in (1, 2, 3)]


@pytest.mark.parametrize("interval", [0, -1, 0.999, "5", None, True, timedelta(days=3651), float("nan")])
def test_an_interval_that_makes_no_sense_is_refused(interval: Any) -> None:
    """The message has the value."""
    with pytest.raises(InvalidPolicyError, match=r"^interval="):
        IntervalRecurrence.of(interval)


@pytest.mark.parametrize("ticks", [CronRecurrence.of("* * * * *", "UTC"), IntervalRecurrence.of(60)])
def test_the_newest_of_the_ticks_that_have_come_are_told(ticks: Recurrence) -> None:
    """Whether there were others is told, and the next one is the first that has not come."""
    minute = 60_000
    assert ticks.due(10 * minute, 9 * minute, most=5) == ((), False, 10 * minute)
    assert ticks.due(10 * minute, 10 * minute, most=5) == ((10 * minute,), False, 11 * minute)
    some = ticks.due(10 * minute, 12 * minute + 1, most=5)
    assert some == ((10 * minute, 11 * minute, 12 * minute), False, 13 * minute)
    assert not ticks.due(10 * minute, 109 * minute, most=100).dropped
    many = ticks.due(10 * minute, 1009 * minute, most=2)
    assert many == ((1008 * minute, 1009 * minute), True, 1010 * minute)


@pytest.mark.parametrize("zone", ["UTC", BERLIN])
def test_a_long_time_is_looked_at_from_its_end(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is not held up by the minutes of a year; what comes rarely is found all the same."""
    moment, year = ms("2026-01-01T00:00"), 365 * 86_400_000
    looked: list[int] = []
    after = CronRecurrence.after
    monkeypatch.setattr(CronRecurrence, "after", lambda self, since: noted(after(self, since), looked))
    minutes = CronRecurrence.of("* * * * *", zone).due(moment, moment + year, most=100)
    assert minutes == (tuple(moment + year - 60_000 * back for back in range(99, -1, -1)), True, moment + year + 60_000)
    assert len(looked) < 1000
    years = CronRecurrence.of("0 0 1 1 *", "UTC").due(moment, moment + 2 * year, most=100)
    assert years.ticks == (moment, moment + year, moment + 2 * year)


def noted(ticks: Iterator[int], looked: list[int]) -> Iterator[int]:
    for tick in ticks:
        looked.append(tick)
        yield tick


async def task(ctx: dict[str, Any]) -> None: ...


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=2)), ZoneInfo(NEW_YORK)])
def test_arqs_cron_means_what_it_means_in_arq(zone: Any) -> None:
    """The ticks are those that arq computes, by the clock of the worker's zone."""
    job = cron(task, weekday="mon", hour={3, 17}, minute=30)
    ticks = ArqRecurrence.of(job, zone)
    moment = datetime(2026, 1, 1, tzinfo=zone)
    for tick in islice(ticks.after(round(moment.timestamp() * 1000)), 5):
        job.calculate_next(moment)
        assert job.next_run
        moment = job.next_run
        assert tick == int(moment.timestamp() * 1000)
    assert ticks.text == "cron(weekday='mon', hour=[3, 17], minute=30)"


def test_arqs_ticks_never_stand_still() -> None:
    """Also where the hour that is meant is left out, which arq's arithmetic does not know."""
    ticks = ArqRecurrence.of(cron(task, hour=None, minute=0, microsecond=0), ZoneInfo(BERLIN))
    assert first(ticks, "2026-03-28T23:30", 3) == ["03-29 00:00", "03-29 01:00", "03-29 02:00"]


@pytest.mark.parametrize(
    "ticks",
    [
        CronRecurrence.of("0 9 * * MON", BERLIN),
        IntervalRecurrence.of(90),
        ArqRecurrence.of(cron(task, hour=3), timezone(-timedelta(hours=3, minutes=30))),
        ArqRecurrence.of(cron(task, hour=3), UTC),
    ],
)
def test_what_is_stored_is_read_back(ticks: Recurrence) -> None:
    """It is the same, and so are its ticks."""
    again = recurrence(ticks.stored())
    assert again == ticks
    assert again.text == ticks.text
    assert first(again, "2026-01-01T00:00", 3) == first(ticks, "2026-01-01T00:00", 3)
