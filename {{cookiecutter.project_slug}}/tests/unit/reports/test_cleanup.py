"""The clean-up: what is deleted, and in which steps."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from {{ cookiecutter.__package }}.accounts.models import PasswordReset, User
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context
from {{ cookiecutter.__package }}.infrastructure.settings import ConfigurationError, get_settings
from {{ cookiecutter.__package }}.reports.cleanup import service
from {{ cookiecutter.__package }}.reports.daily.models import DailyReport
from {{ cookiecutter.__package }}.reports.newsletter.models import Newsletter

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.database import Base

pytestmark = pytest.mark.usefixtures("tables")

NONE = {"password_resets": 0, "daily_reports": 0, "newsletters": 0, "exports": 0}


def ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


async def add(*rows: Base) -> None:
    async with get_session_context() as session:
        session.add_all(rows)


async def count(model: type[Base]) -> int:
    async with get_session_context() as session:
        return (await session.scalars(select(func.count()).select_from(model))).one()


def reports(*ages: float) -> list[DailyReport]:
    first = date(2020, 1, 1)
    return [
        DailyReport(day=first + timedelta(days=number), figures={}, created_at=ago(age))
        for number, age in enumerate(ages)
    ]


async def delete_old(told: list[Any] | None = None) -> dict[str, int]:
    return await service.delete_old(progress=lambda *how: None if told is None else told.append(how))


async def test_what_is_old_goes_and_the_rest_stays() -> None:
    """Each kind has its own time, from when a row was made."""
    await add(User(id=1, email="ada@example.com", name="Ada"))
    for days in (6.9, 7.1, 8):
        reset = PasswordReset(user_id=1, token_hash=str(days), created_at=ago(days), expires_at=ago(days))
        await add(reset)
    await add(*reports(729.9, 730.1))
    await add(*(Newsletter(subject="News", body="Hello!", created_at=ago(days)) for days in (1, 729.9, 730.1)))
    assert await delete_old() == {**NONE, "password_resets": 2, "daily_reports": 1, "newsletters": 1}
    assert [await count(model) for model in (User, PasswordReset, DailyReport, Newsletter)] == [1, 1, 1, 2]
    assert await delete_old() == NONE


async def test_zero_days_keep_something_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """So says the setting; other numbers are days."""
    await add(*reports(30_000, 2))
    monkeypatch.setenv("REPORTS_KEEP_DAILY_REPORTS_DAYS", "0")
    get_settings.cache_clear()
    assert await delete_old() == NONE
    monkeypatch.setenv("REPORTS_KEEP_DAILY_REPORTS_DAYS", "1")
    get_settings.cache_clear()
    assert (await delete_old())["daily_reports"] == 2


async def test_a_negative_number_of_days_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would delete what there is yet to be."""
    monkeypatch.setenv("REPORTS_KEEP_NEWSLETTERS_DAYS", "-1")
    get_settings.cache_clear()
    with pytest.raises(ConfigurationError, match="REPORTS_KEEP_NEWSLETTERS_DAYS"):
        get_settings()


async def test_rows_go_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old rows may stand anywhere between young ones; what has been reported is committed."""
    monkeypatch.setattr(service, "BATCH", 3)
    await add(*reports(*(1000 if number % 3 else 1 for number in range(12))))
    told: list[Any] = []
    assert (await delete_old(told))["daily_reports"] == 8
    assert told == [("daily_reports", 3), ("daily_reports", 6), ("daily_reports", 8)]
    assert await count(DailyReport) == 4


async def test_it_can_be_broken_off() -> None:
    """What is done stays done, and the next run does the rest."""
    await add(*reports(*[1000] * 2500))

    def breaks(_kind: str, number: int) -> None:
        if number == 2000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await service.delete_old(progress=breaks)
    assert await count(DailyReport) == 500
    assert await delete_old() == {**NONE, "daily_reports": 500}
