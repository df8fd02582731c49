"""What the worker processes of test_orders.py run: `arq integration.billing.order_hands.SETTINGS`."""

from __future__ import annotations

from typing import Any

from {{ cookiecutter.__package }}.infrastructure.tasks import WorkerSettings

#: The settings of the project's workers; with these it is soon found out that one is dead.
SETTINGS: dict[str, Any] = {**vars(WorkerSettings), "lease": 1, "allow_no_persistence": True}
