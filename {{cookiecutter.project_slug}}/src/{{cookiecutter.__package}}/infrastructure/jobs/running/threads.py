"""The threads that plain functions run in."""

from __future__ import annotations

import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

logger = logging.getLogger("arq.worker")

#: How the threads' names begin.
NAME = "arq-task"
#: Seconds that they get to end when the process does.
WAIT = 1.0


def new_executor(max_jobs: int) -> ThreadPoolExecutor:
    """Make as many threads as there may be jobs at once."""
    return ThreadPoolExecutor(max_jobs, thread_name_prefix=NAME)


def end_with_process(executor: ThreadPoolExecutor) -> None:
    """End the process if functions still run in threads: no thread can be stopped, and their jobs are handed back."""
    executor.shutdown(wait=False)  # lets idle threads end
    threads = [thread for thread in threading.enumerate() if thread.name.startswith(NAME)]
    for thread in threads:
        thread.join(WAIT / len(threads))
    left = sum(thread.is_alive() for thread in threads)
    if left:
        logger.warning("%d functions still run in threads; they end with the process", left)
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)
