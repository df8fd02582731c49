"""Who takes part, and what is installed for each.

The queues' versions are pinned, so that a run can be repeated; those of their clients are reported. To move one, read
the queue's changes and look at its adapter again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contender:
    """One queue: an adapter in `peers/`, and an environment to run it in."""

    name: str
    title: str
    #: Distributions whose versions are reported, the queue's own first.
    distributions: tuple[str, ...]
    #: What is installed (SAQ forgets to ask for typing-extensions); nothing for the project, which installs itself.
    requirements: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """Name of the adapter's module."""
        return self.name.replace("-", "_")


OURS = "ours"

TASKIQ = ("taskiq", "taskiq-redis", "redis", "hiredis", "uvloop")
TASKIQ_REQUIREMENTS = ("taskiq[uv]==0.13.0", "taskiq-redis==1.2.4", "redis[hiredis]")

ROSTER = {
    contender.name: contender
    for contender in (
        Contender(OURS, "this template", ("arq", "redis", "hiredis")),
        Contender("arq", "arq", ("arq", "redis", "hiredis"), ("arq==0.28.0",)),
        Contender("arq-tuned", "arq, tuned", ("arq", "redis", "hiredis"), ("arq==0.28.0",)),
        Contender("saq", "SAQ", ("saq", "redis", "hiredis"), ("saq[redis,hiredis]==0.26.4", "typing-extensions")),
        Contender("taskiq", "taskiq, list", TASKIQ, TASKIQ_REQUIREMENTS),
        Contender("taskiq-stream", "taskiq, stream", TASKIQ, TASKIQ_REQUIREMENTS),
        Contender("streaq", "streaQ", ("streaq", "coredis"), ("streaq==7.2.0",)),
        Contender("rq", "RQ", ("rq", "redis", "hiredis"), ("rq==3.0.0", "redis[hiredis]")),
        Contender(
            "dramatiq", "Dramatiq", ("dramatiq", "redis", "hiredis"), ("dramatiq[redis]==2.2.1", "redis[hiredis]")
        ),
        Contender(
            "celery", "Celery", ("celery", "kombu", "redis", "hiredis"), ("celery[redis]==5.7.0", "redis[hiredis]")
        ),
    )
}
