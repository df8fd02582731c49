"""Schedules: tasks that are enqueued at certain times, or again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from ..schedules.client import Schedule, Schedules
from .connected import Connected

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from ..options import IntervalOptions, ScheduleOptions
    from ..records import ScheduleRecord
    from ..registry import TaskFunction


class Scheduling(Connected):
    """What a manager does with schedules."""

    async def schedule(
        self,
        task: str | TaskFunction,
        cron: str,
        name: str = "",
        *,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> ScheduleRecord:
        """Run a task whenever a cron expression says so; a schedule of the same name is replaced.

        Args:
            task: what to run.
            cron: five fields, as in `"0 9 * * *"`.
            name: what it is called, and its id; by default as the task.
            args: positional arguments of the task, after the context.
            kwargs: named arguments of the task.
            options: `timezone`, `misfire`, `overlap`, `queue`, `priority`, ...; see `Schedule`.

        Raises:
            InvalidScheduleError: something makes no sense; the message names it, and the field of the expression.
        """
        schedule = Schedule(task, name, cron=cron, args=args, kwargs=kwargs or {}, **options)
        return await (await self._schedules()).add(schedule)

    async def schedule_interval(
        self,
        task: str | TaskFunction,
        interval: float | timedelta,
        name: str = "",
        *,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[IntervalOptions],
    ) -> ScheduleRecord:
        """Run a task every `interval`, a timedelta or seconds, for the first time after one; see `schedule`."""
        schedule = Schedule(task, name, interval=interval, args=args, kwargs=kwargs or {}, **options)
        return await (await self._schedules()).add(schedule)

    async def list_scheduled(self) -> list[ScheduleRecord]:
        """Give all schedules, also those that stand in code: the next one first, those that are paused last."""
        return await (await self._schedules()).list()

    async def get_schedule(self, schedule_id: str) -> ScheduleRecord:
        """Give one schedule.

        Raises:
            ScheduleNotFoundError: there is none of that id.
        """
        return await (await self._schedules()).get(schedule_id)

    async def unschedule(self, schedule_id: str) -> bool:
        """Remove a schedule; jobs that were enqueued for it stay. False if there is none."""
        return await (await self._schedules()).remove(schedule_id)

    async def pause_schedule(self, schedule_id: str) -> None:
        """Let the ticks of a schedule go by until `resume_schedule`; see `Schedules.pause`."""
        await (await self._schedules()).pause(schedule_id)

    async def resume_schedule(self, schedule_id: str) -> None:
        """Let a schedule go on with its next tick."""
        await (await self._schedules()).resume(schedule_id)

    async def run_now(self, schedule_id: str) -> str | None:
        """Enqueue a job for a schedule at once, and give its id; see `Schedules.run_now`."""
        return await (await self._schedules()).run_now(schedule_id)

    async def _schedules(self) -> Schedules:
        return Schedules(await self.connect())
