"""The pages are true: their Python runs as it is written, and what they name is there."""

from __future__ import annotations

import ast
# {% if cookiecutter.cache_backend != "none" %}
import asyncio
# {% endif %}
import importlib
import inspect
import re
# {% if cookiecutter.cache_backend != "none" %}
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import chain
# {% endif %}
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
# {% if cookiecutter.cache_backend != "none" %}
from arq.worker import create_worker
# {% endif %}

import {{ cookiecutter.__package }} as package
# {% if cookiecutter.cache_backend == "none" %}
from {{ cookiecutter.__package }}.infrastructure import settings
from {{ cookiecutter.__package }}.infrastructure.database import Base, get_engine
# {% else %}
from {{ cookiecutter.__package }}.infrastructure import jobs, settings, tasks
from {{ cookiecutter.__package }}.infrastructure.database import (
    Base,
    get_engine,
    get_session_context,
)
from {{ cookiecutter.__package }}.infrastructure.jobs import JobStatus
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import function_of
from {{ cookiecutter.__package }}.infrastructure.tasks import (
    WorkerSettings,
    get_job_manager,
    get_redis_settings,
    get_task_pool,
    get_task_registry,
)
# {% endif %}

if TYPE_CHECKING:
    # {% if cookiecutter.cache_backend == "none" %}
    from collections.abc import Iterator
    # {% else %}
    from collections.abc import AsyncIterator, Iterator
    # {% endif %}

PROJECT = Path(__file__).resolve().parents[2]
PAGES = {
    path.relative_to(PROJECT).as_posix(): path.read_text()
    for path in [PROJECT / "README.md", *PROJECT.glob("docs/*.md")]
}
#: A block of Python, and what it prints if a block of text comes right after it.
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
#: A block that begins with a file's name is that file.
FILE = re.compile(r"# src/(\w+)/([\w/]+)\.py\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder whose modules belong to the package; the tables that they declare are forgotten afterwards."""
    folder = tmp_path / "package"
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    tables = set(Base.metadata.sorted_tables)
    yield folder
    for table in set(Base.metadata.sorted_tables) - tables:
        Base.metadata.remove(table)


# {% if cookiecutter.cache_backend != "none" %}
def is_task(value: object) -> bool:
    """Tell whether this is a function that begins with the context."""
    function = function_of(value) if callable(value) else value
    return inspect.isfunction(function) and next(iter(inspect.signature(function).parameters), None) == "ctx"


@asynccontextmanager
async def worker_of(namespace: dict[str, Any]) -> AsyncIterator[None]:
    """Run a worker that knows the tasks of the page too, as if its reader had listed them."""
    values = [namespace, *(vars(value) for value in namespace.values() if inspect.ismodule(value))]
    tasks = filter(is_task, chain.from_iterable(names.values() for names in values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WorkerSettings, "functions", list(dict.fromkeys([*WorkerSettings.functions, *tasks])))
        get_task_registry.cache_clear()
        (await get_task_pool()).registry = get_task_registry()
        worker = create_worker(
            dict(vars(WorkerSettings)),
            redis_settings=get_redis_settings(),
            handle_signals=False,
            on_startup=None,
            on_shutdown=None,  # the application closes what both have opened
            poll_delay=0.01,
            retry_delay=timedelta(0),
        )
        work = asyncio.create_task(worker.async_run())
        try:
            yield
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await worker.close()
    get_task_registry.cache_clear()


# {% endif %}
@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if BLOCK.search(text)])
# {% if cookiecutter.cache_backend == "none" %}
@pytest.mark.usefixtures("client")
# {% else %}
@pytest.mark.usefixtures("redis_url", "client")
# {% endif %}
async def test_python_runs_as_written(page: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every Python block of a page runs, in order, in one namespace, on the real servers."""
    namespace: dict[str, Any] = {"__name__": page}
    for block in BLOCK.finditer(PAGES[page]):
        source = "\n" * PAGES[page].count("\n", 0, block.start(1)) + block[1]  # a traceback names the page's own line
        if file := FILE.match(block[1]):
            path = folder / f"{file[2]}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
            module = importlib.import_module(f"{file[1]}.{file[2].replace('/', '.')}")
            namespace[module.__name__] = module
            continue
        code = compile(source, PROJECT / page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        capsys.readouterr()
        outcome = eval(code, namespace)
        if inspect.isawaitable(outcome):
            async with get_engine().begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
            # {% if cookiecutter.cache_backend == "none" %}
            await outcome
            # {% else %}
            async with worker_of(namespace):
                await outcome
            # {% endif %}
        if block[2]:
            assert capsys.readouterr().out == block[2]


# {% if cookiecutter.cache_backend != "none" %}
@pytest.mark.usefixtures("redis_url", "client")
async def test_the_guide_of_patterns_runs() -> None:
    """Each example in the table that helps to choose does what it says, and its job ends well."""

    async def bind(ctx: dict[str, Any], results: list[str]) -> str:  # noqa: ARG001
        return ", ".join(results)

    page = PAGES["docs/background-tasks.md"]
    guide = page[page.index("## Which pattern") : page.index("## Fire and forget")]
    examples = re.findall(r"^\| \[.*\| `(.*)` \|$", guide, re.MULTILINE)
    assert len(examples) == guide.count("\n| [")
    namespace = {**vars(tasks), **vars(jobs), "bind": bind, "pages": ["a", "b"], "rows": [{"message": "a row"}] * 3}
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with worker_of(namespace):
        manager = namespace["jobs"] = await get_job_manager()
        for example in examples:
            async with get_session_context() as namespace["session"]:
                code = compile(example, "guide", "eval", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
                outcome = await eval(code, namespace)
            if isinstance(outcome, str) and "enqueue_in" not in example:
                assert (await manager.wait_for(outcome)).status is JobStatus.SUCCESS, example


# {% endif %}
@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Every link inside the project names a file that exists, and a heading of it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        if re.match(r"https?:|mailto:", link):
            continue
        path, _, heading = link.partition("#")
        target = (PROJECT / page).parent / path if path else PROJECT / page
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, link


@pytest.mark.parametrize("page", PAGES)
def test_recipes_exist(page: str) -> None:
    """Every `just` recipe that a page names is in the justfile, and the README names them all."""
    recipes = set(re.findall(r"^([a-z][\w-]*)(?: [^:\n]*)?:(?!=)", (PROJECT / "justfile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)(?:uv run )?just ([a-z][\w-]*)", PAGES[page], re.MULTILINE))
    assert named <= recipes
    if page == "README.md":
        assert named == recipes - {"default"}


def test_env_example_is_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.env.example` names every setting, and what compose.yaml takes from it; to copy it changes nothing."""
    example = (PROJECT / ".env.example").read_text()
    names = re.findall(r"^(\w+)=", example, re.MULTILINE)
    known = settings.SettingsGroup.__subclasses__()
    groups = [group for group in known if group.__module__.startswith(f"{package.__name__}.")]  # not those of tests
    fields = {
        f"{group.model_config.get('env_prefix', '')}{name}".upper()
        for group in groups
        for name, field in group.model_fields.items()
        if field.annotation not in groups
    }
    for_compose = set(re.findall(r"\$\{(\w+)", (PROJECT / "compose.yaml").read_text()))
    assert sorted(names) == sorted(fields | for_compose)

    for name in names:
        monkeypatch.delenv(name, raising=False)
    settings.get_settings.cache_clear()
    defaults = settings.get_settings()
    (tmp_path / ".env").write_text(example)
    settings.get_settings.cache_clear()
    assert settings.get_settings() == defaults
