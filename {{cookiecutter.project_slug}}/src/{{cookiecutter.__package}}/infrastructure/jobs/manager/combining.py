"""Chains and groups: jobs that belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from ..workflows.client import Workflows
from .connected import Connected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..options import ChainOptions, GroupOptions
    from ..workflows.records import WorkflowRecord
    from ..workflows.steps import StepLike


class Combining(Connected):
    """What a manager does with workflows."""

    async def chain(self, steps: Iterable[StepLike], **options: Unpack[ChainOptions]) -> str:
        """Run jobs one after the other, and give the id of the whole; see `Workflows.chain`.

        Args:
            steps: `(task, args, kwargs)` each, or a `Step` with options of its own.
            options: `pass_result=True` gives each step what the one before returned; `queue` and `priority`.
        """
        return await Workflows(await self.connect()).chain(steps, **options)

    async def group(
        self,
        members: Iterable[StepLike],
        callback: StepLike | None = None,
        **options: Unpack[GroupOptions],
    ) -> str:
        """Run jobs at once, and the callback when all have ended; give the id of the whole. See `Workflows.group`.

        Args:
            members: as the steps of a chain.
            callback: a task that gets `results=[...]`, what the members returned, in their order.
            options: `on_failure`, `callback_args`, `callback_kwargs`, `queue` and `priority`.
        """
        return await Workflows(await self.connect()).group(members, callback=callback, **options)

    async def get_workflow(self, workflow_id: str) -> WorkflowRecord | None:
        """Read all that is known of a chain or a group and of its jobs; None if nothing is."""
        return await Workflows(await self.connect()).get(workflow_id)
