"""A plugin of pytest with which arq's own tests, none of their files changed, try the engine of a generated project.

It is loaded before arq's `tests/conftest.py`: `pytest -p engine_for_arq` with this folder on PYTHONPATH, the name of
the project's package in PACKAGE, and the port of a Redis that may be emptied in SUITE_REDIS_PORT.
"""

from __future__ import annotations

import os
import pickle
import sys
from importlib import import_module
from types import ModuleType
from typing import Any, Self

arq: Any = import_module("arq")
engine: Any = import_module(f"{os.environ['PACKAGE']}.infrastructure.jobs")

# Some defaults of the engine are not what arq's tests reckon with. They are put back, each being an argument only:
engine.Worker.__init__.__kwdefaults__ |= {
    # - the codec: the tests enqueue with arq's own client, which pickles;
    "job_serializer": pickle.dumps,
    "job_deserializer": pickle.loads,
    # - the pause before a retry: they wait for none;
    "retry_delay": 0,
    # - jobs can be aborted: `test_not_abort_job` takes it that they cannot, and aborts one just when it ends, so that
    #   it would now pass and now fail.
    "allow_abort_jobs": False,
    # - arguments are in no log line: they look for them there;
    "log_arguments": True,
    # - a history, dead letters and statistics: they count the keys that remain.
    "retention": engine.Retention(history=0, dead_letters=0, statistics=False),
}
arq.Worker = arq.worker.Worker = engine.Worker


class RunningRedis:
    """Stands in for the container that arq's tests would start."""

    port = int(os.environ["SUITE_REDIS_PORT"])

    def __init__(self, image: str) -> None:
        """Take any image for the server that runs."""

    def __enter__(self) -> Self:
        """Start nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop nothing."""

    def get_container_host_ip(self) -> str:
        """Tell where the server is."""
        return "127.0.0.1"

    def get_exposed_port(self, port: int) -> int:
        """Tell its port."""
        return port


containers: Any = ModuleType("testcontainers.redis")
containers.RedisContainer = RunningRedis
sys.modules |= {"testcontainers": ModuleType("testcontainers"), containers.__name__: containers}
