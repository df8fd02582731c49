"""An environment for each peer, kept in a cache; the project, rendered from this template and installed each time."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.roster import OURS
from processes import ProcessError, run
from service import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.roster import Contender

TEMPLATE = Path(__file__).resolve().parent.parent
#: The adapter of the project imports the package of this name.
SLUG = "bench-project"


#: Prints the versions of the distributions that are its arguments.
VERSIONS = """
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the processes of one peer run."""

    python: Path
    folder: Path

    def versions(self, contender: Contender) -> dict[str, str]:
        """Look up what is installed."""
        command: list[str | Path] = [self.python, "-c", VERSIONS, *contender.distributions]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, env=base_environment())
        versions: dict[str, str] = json.loads(answer.stdout)
        return versions


def base_environment() -> dict[str, str]:
    """Give the environment variables of everything that is started: no settings of other projects."""
    return {**clean_environment(), "UV_PYTHON_DOWNLOADS": "never", "PYTHONUTF8": "1"}


class Workshop:
    """Makes the environments; all of them have the Python that runs this."""

    def __init__(self, cache: Path, folder: Path) -> None:
        """Choose the folders: `cache` is kept for the next run, `folder` is temporary."""
        uv = shutil.which("uv")
        if uv is None:
            raise ProcessError("uv is not on PATH, and it installs the peers: `pip install uv` brings it")
        self.uv = uv
        self.cache = cache
        self.folder = folder
        self.python = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"

    def prepare(self, contender: Contender) -> Environment:
        """Make the environment of a peer, or find it in the cache."""
        if contender.name == OURS:
            project = self.folder / SLUG
            self.render(self.folder)
            self.sync(project)
            return Environment(project / ".venv" / "bin" / "python", project)
        # Named after all that is in it, so that contenders who want the same share one, and no others do.
        wanted = "\n".join([self.python, *contender.requirements])
        environment = self.cache / f"{contender.distributions[0]}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
        done = environment / "installed.txt"
        python = environment / "bin" / "python"
        if not done.is_file():
            environment.parent.mkdir(parents=True, exist_ok=True)
            self._run(f"making {environment.name}", self.uv, "venv", "--clear", "--python", sys.executable, environment)
            install: list[str | Path] = ["pip", "install", "--python", python, *contender.requirements]
            self._run(f"installing {environment.name}", self.uv, *install)
            done.write_text(wanted, encoding="utf-8")
        return Environment(python, self.folder)

    def render(self, into: Path) -> None:
        """Generate the redis variant as its owner would, Cookiecutter's own files in the temporary folder too."""
        config = self.folder / "cookiecutter.yaml"
        config.write_text(f"replay_dir: {json.dumps(str(self.folder / 'replay'))}\n", encoding="utf-8")
        options: list[str | Path] = ["--no-input", "--config-file", config, "--output-dir", into, TEMPLATE]
        answers = [f"project_slug={SLUG}", "cache_backend=redis"]
        self._run("rendering", sys.executable, "-m", "cookiecutter", *options, *answers)

    def sync(self, project: Path) -> None:
        """Install a rendered project, with the Python of all."""
        self._run("uv sync", self.uv, "sync", "--project", project, "--python", sys.executable)

    def time_rendering(self) -> tuple[float, float]:
        """Render and install once more; give the seconds of the first, and of both."""
        with TemporaryDirectory(dir=self.folder) as folder:
            start = time.perf_counter()
            self.render(Path(folder))
            rendered = time.perf_counter()
            self.sync(Path(folder) / SLUG)
            return rendered - start, time.perf_counter() - start

    def _run(self, what: str, *command: str | Path) -> None:
        log = self.folder / f"{what.replace(' ', '-')}.log"
        run(command, cwd=self.folder, env=base_environment(), log=log, what=what)


@contextmanager
def workshop(cache: Path) -> Iterator[Workshop]:
    """Give a workshop whose temporary folder is gone in the end."""
    with TemporaryDirectory(prefix="benchmarks-") as folder:
        yield Workshop(cache, Path(folder))
