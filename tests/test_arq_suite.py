"""The engine passes arq's own tests, as they are published with arq, save those that the documentation names."""

from __future__ import annotations

import re
import tarfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from conftest import run_program
from service import Service

if TYPE_CHECKING:
    from conftest import Render

PLUGIN = Path(__file__).with_name("arq_suite") / "engine_for_arq.py"

#: What arq's tests need beside the project; `testcontainers`, which arq has too, is what the plugin stands in for.
REQUIREMENTS = [
    *("pytest>=8,<9", "pytest-asyncio<1", "pytest-mock", "pytest-timeout"),
    *("dirty-equals", "msgpack", "pytz", "tzdata", "watchfiles"),
]
#: A warning that arq's tests raise with the redis-py of today, and that arq's settings would make an error.
FILTER = "ignore:Call to deprecated close:DeprecationWarning"
#: Seconds that all of arq's tests may take; they take about ten.
LIMIT = 240
#: There are fewer only if they have not been collected.
FEWEST = 150

#: Tests of arq that fail, because the engine is meant to differ. docs/background-tasks.md has the same table.
INTENDED = {
    "test_worker::test_job_retry_race_condition": "it calls `start_jobs`; here Redis claims in one step what is due",
    "test_worker::test_multi_exec": "it calls `start_jobs` too",
    "test_worker::test_retry_lots": "a `Retry` in the last try ends the job at once: 4 retries, not 5",
    "test_worker::test_error_success": "an exception is retried up to `max_tries`",
    "test_worker::test_str_function": "an exception is retried up to `max_tries`, a wrong call too",
    "test_worker::test_max_jobs_completes": "an exception is retried, so no job has failed after three starts",
    "test_worker::test_job_timeout": "a timeout is retried up to `max_tries`",
}
#: A test of arq's client alone, without any worker, that now and then fails on a busy machine; it may.
UNSTEADY = {
    "test_worker::test_default_job_expiry[1000000-1000000]": "it wants two commands within 1 ms of each other",
}
#: Tests that arq itself skips, whatever the worker.
SKIPPED_BY_ARQ = {
    "test_utils::test_redis_sentinel_failure": "marked: it breaks other tests",
    "test_worker::test_cancel_error": "marked: for Python before 3.8",
}


@dataclass
class Outcomes:
    """What became of arq's tests, by `module::test[parameters]`; of those that failed or were skipped also why."""

    passed: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, report: Path) -> Outcomes:
        """Read the report that pytest has written."""
        outcomes = cls()
        for case in ET.parse(report).iter("testcase"):  # noqa: S314 - our own
            test = f"{case.get('classname', '').removeprefix('tests.')}::{case.get('name')}"
            bad = [result for result in case if result.tag in {"failure", "error"}]
            if bad:
                outcomes.failed[test] = "\n".join(result.text or "" for result in bad)
            elif (skipped := case.find("skipped")) is not None:
                outcomes.skipped[test] = skipped.get("message", "")
            else:
                outcomes.passed.add(test)
        outcomes.passed -= outcomes.failed.keys()  # a test that fails in its tear-down is reported twice
        return outcomes


def arq_version(project: Path) -> str:
    """Read which arq a rendered project pins."""
    document = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    [version] = [name.removeprefix("arq==") for name in document["project"]["dependencies"] if name.startswith("arq==")]
    return str(version)


def unpack_tests(version: str, folder: Path) -> Path:
    """Download the source distribution of arq, and give the folder with its tests and their settings, not its code."""
    # uv downloads only what it installs, and that has no tests.
    pip: list[str | Path] = ["uv", "tool", "run", "pip", "download", "--no-deps", "--no-binary", "arq"]
    done = run_program([*pip, "--dest", folder, f"arq=={version}"], cwd=folder)
    assert done.returncode == 0, done.stdout
    root = f"arq-{version}"
    with tarfile.open(folder / f"{root}.tar.gz") as archive:
        for name in archive.getnames():
            if name.startswith((f"{root}/tests/", f"{root}/pyproject.toml")):
                archive.extract(name, folder, filter="data")
    return folder / root


@pytest.fixture(scope="module")
def outcomes(synced: Render, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Run all of arq's tests with the engine for arq's worker, on a Redis of their own."""
    project = synced("redis")
    folder = unpack_tests(arq_version(project), tmp_path_factory.mktemp("arq-suite"))
    report = folder / "report.xml"
    command: list[str | Path] = ["uv", "run", "--project", project, "--isolated", "--frozen", "--no-default-groups"]
    command += [word for requirement in REQUIREMENTS for word in ("--with", requirement)]
    command += ["pytest", "-p", PLUGIN.stem, "-p", "no:cacheprovider", "-W", FILTER]
    command += ["--tb=short", "--junit-xml", report, "tests"]
    with Service(project, folder) as service:
        service.start_redis()
        env = {
            "PACKAGE": service.package,
            "PYTHONPATH": str(PLUGIN.parent),
            "SUITE_REDIS_PORT": str(service.redis_port),
            "UV_PYTHON_DOWNLOADS": "never",
            "PYTHONUTF8": "1",
        }
        suite = service.start("arq-suite", *command, env=env)
        status = suite.wait(LIMIT)
        assert status in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}, suite.output
    return Outcomes.read(report)


def test_arqs_tests_fail_only_where_the_engine_is_meant_to_differ(outcomes: Outcomes) -> None:
    """Each test of arq passes, except for the intended differences, all of which there still are."""
    expected = INTENDED.keys() | UNSTEADY.keys()
    surprises = [f"{test} failed:\n{why}" for test, why in outcomes.failed.items() if test not in expected]
    surprises += [f"{test} did not fail: {why}" for test, why in INTENDED.items() if test not in outcomes.failed]
    assert not surprises, "\n\n".join(surprises)


def test_arqs_tests_are_all_run(outcomes: Outcomes) -> None:
    """Nothing is skipped but what arq itself skips, and the tests are as many as they should be."""
    assert outcomes.skipped.keys() == SKIPPED_BY_ARQ.keys(), outcomes.skipped
    assert len(outcomes.passed) > FEWEST


def test_the_documentation_names_each_difference(rendered: Render) -> None:
    """The table in the documentation of a rendered project has the same tests, no more and no fewer."""
    page = (rendered(cache_backend="redis") / "docs" / "background-tasks.md").read_text(encoding="utf-8")
    [section] = re.findall(r"^### arq's own tests\n(.+?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    assert sorted(re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)) == sorted(INTENDED)
