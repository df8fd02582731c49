"""A service under trial: its workers know tasks that misbehave on purpose, and can be had in any number."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from processes import HOST, Process, wait_for
from service import Service

if TYPE_CHECKING:
    from collections.abc import Mapping

INSIDE = Path(__file__).with_name("inside")


class TrialService(Service):
    """A service whose tests enqueue tasks by the project's front door, see `inside/trial.py`."""

    def __init__(self, project: Path, folder: Path, *, env: Mapping[str, str] | None = None) -> None:
        """Choose ports; nothing runs yet."""
        super().__init__(project, folder, env=env)
        self.env |= {"PYTHONPATH": str(INSIDE), "PACKAGE": self.package}
        self.front_door, self.worker_settings = self.worker_settings, "trial.WorkerSettings"
        self.client = redis.Redis(host=HOST, port=self.redis_port, decode_responses=True)
        self.redis: Process | None = None
        self.workers: list[Process] = []
        self._enqueuer: subprocess.Popen[str] | None = None

    def stop(self) -> None:
        """Stop everything."""
        if self._enqueuer is not None:
            self._enqueuer.kill()
            self._enqueuer.communicate()
            self._enqueuer = None
        self.client.close()
        super().stop()

    def have_redis(self) -> Process:
        """Start Redis if it does not run, on the data that it left."""
        if self.redis is None or self.redis.status is not None:
            self.redis = self.start_redis()
        return self.redis

    def have_workers(self, number: int) -> list[Process]:
        """Start or stop workers until so many are running; they are looking for jobs, or for Redis."""
        self.workers = [worker for worker in self.workers if worker.status is None]
        while len(self.workers) > number:
            self.workers.pop().stop()
        new = [self.start_worker() for _ in range(number - len(self.workers))]
        for worker in new:
            self.wait_for_worker(worker)
        self.workers += new
        return self.workers

    def request(self, task: str, **arguments: Any) -> dict[str, Any]:
        """Enqueue a job from inside the project; the answer has its `job_id`, or an `error`."""
        if self._enqueuer is None:
            self._enqueuer = subprocess.Popen(
                [self.program("python"), "-m", "trial"],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._enqueuer.stdin is not None
        assert self._enqueuer.stdout is not None
        self._enqueuer.stdin.write(json.dumps({"task": task, "arguments": arguments}) + "\n")
        self._enqueuer.stdin.flush()
        answer: dict[str, Any] = json.loads(self._enqueuer.stdout.readline())
        return answer

    def enqueue(self, task: str, **arguments: Any) -> str:
        """Enqueue a job from inside the project and give its id."""
        answer = self.request(task, **arguments)
        assert answer.get("job_id"), answer
        return str(answer["job_id"])

    def counted(self, name: str) -> int:
        """Tell what a task has counted under a name."""
        number: Any = self.client.get(f"trial:{name}")
        return int(number or 0)

    def release(self, name: str) -> None:
        """Let the task `hold` end that was called with this name."""
        self.client.set(f"trial:release:{name}", 1)

    def wait_until_stored(self) -> None:
        """Wait until Redis has brought to the disk what it was told so far; by itself it does so every second."""
        self.client.set("trial:stored", 1)
        self.client.waitaof(1, 0, 5000)

    def worker_check(self) -> int:
        """Ask the project's command whether a worker is alive: 0 if one is."""
        command: list[str | Path] = [self.program(self.project.name), "worker-check"]
        return subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, check=False).returncode

    def wait_for_line(self, process: Process, text: str, *, after: int = 0, within: float = 30) -> str:
        """Wait until a process has printed a line with this text beyond its first `after` characters, and give it."""

        def look() -> str | None:
            return next((line for line in process.output[after:].splitlines() if text in line), None)

        return wait_for(look, what=f"line with {text!r}", within=within, beside=[process])
