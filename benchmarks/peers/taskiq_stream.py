"""taskiq with the stream broker of taskiq-redis: as `taskiq`, and every job is acknowledged once it has run.

The broker's own defaults: a hundred messages are read at once. It is what the README of taskiq-redis shows first. The
stream itself is never trimmed unless `maxlen` is set, so the messages of finished jobs stay in Redis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskiq_redis import RedisStreamBroker

from benchmarks.peers import taskiq

if TYPE_CHECKING:
    from collections.abc import Sequence


class Adapter(taskiq.Adapter):
    """taskiq, with acknowledgements."""

    #: Of what `XPENDING` answers, the number of messages that were delivered and not acknowledged.
    backlog: Sequence[tuple[str, ...]] = [
        ("EVAL", "return redis.call('XPENDING', KEYS[1], KEYS[1])[1]", "1", "taskiq"),
    ]
    broker_class = RedisStreamBroker
