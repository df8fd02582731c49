"""Imports point one way, so that a slice can be deleted and the engine taken elsewhere."""

from __future__ import annotations

import ast
# {% if cookiecutter.cache_backend != "none" %}
import subprocess
import sys
# {% endif %}
from importlib.util import resolve_name
from pathlib import Path

import {{ cookiecutter.__package }} as package

ROOT = Path(package.__file__).parent
COMPOSITION = {"main", "cli", "infrastructure.tasks"}
#: The module of a slice that knows what other slices give to it.
SOURCES = "sources"
# {% if cookiecutter.cache_backend != "none" %}
ENGINE = "infrastructure.jobs"
# {% endif %}
#: Folders of the package that are no slices.
LAYERS = {"api", "console", "infrastructure"}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
    if path != ROOT / "__init__.py"
}
SLICES = {module.split(".")[0] for module in MODULES if "." in module} - LAYERS


def imports_of(module: str) -> set[str]:
    """Give what a module imports: other modules by their path inside the package, everything else by its own name."""
    path = MODULES[module]
    here = (
        f"{package.__name__}.{module}"
        if path.name == "__init__.py"
        else f"{package.__name__}.{module}".rpartition(".")[0]
    )
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), here) if node.level else str(node.module)
            found |= {base, *(f"{base}.{name.name}" for name in node.names)}
    return {name.removeprefix(f"{package.__name__}.") for name in found}


def inside(names: set[str], *folders: str) -> set[str]:
    return {name for name in names if any(name == folder or name.startswith(f"{folder}.") for folder in folders)}


def offences(modules: set[str], *forbidden: str) -> dict[str, set[str]]:
    """Give what the modules import although they must not."""
    found = {module: inside(imports_of(module), *forbidden) for module in modules}
    return {module: names for module, names in found.items() if names}


def in_slices_but(*names: str) -> set[str]:
    """Give the modules of slices that have none of these names."""
    return {module for module in inside(set(MODULES), *SLICES) if module.rpartition(".")[2] not in names}


# {% if cookiecutter.cache_backend != "none" %}
def test_the_engine_knows_nothing_of_the_application() -> None:
    """It could be a library: of this package it imports itself only."""
    others = {module for module in MODULES if not inside({module}, ENGINE)} - {"infrastructure"}
    assert offences(inside(set(MODULES), ENGINE), *others) == {}


def test_services_know_no_jobs() -> None:
    """A service does not know what it runs in; those who enqueue and those who run jobs do."""
    assert offences(in_slices_but("routes", "job_routes", "job_figures", "tasks"), ENGINE) == {}


# {% endif %}
def test_the_infrastructure_knows_no_slice() -> None:
    """Only the application's composition brings slices in."""
    infrastructure = inside(set(MODULES), "infrastructure") - COMPOSITION
    assert offences(infrastructure, "api", *COMPOSITION, *SLICES) == {}


def test_services_know_no_http() -> None:
    """They run in a request and in a command alike, and no circle arises."""
    modules = in_slices_but("routes", "job_routes", "dependencies") - COMPOSITION
    assert "accounts.service" in modules
    assert offences(modules, "fastapi", "starlette", "api", *COMPOSITION) == {}


def test_slices_are_brought_in_by_the_composition_alone() -> None:
    """A slice goes with its folder, and its lines in the composition and in `sources`; all may build on accounts."""
    for name in SLICES - {"accounts"}:
        others = {module for module in MODULES if not inside({module}, name) and not module.endswith(f".{SOURCES}")}
        assert offences(others - COMPOSITION, name) == {}
# {% if cookiecutter.cache_backend != "none" %}


def test_a_health_check_loads_little() -> None:
    """`worker-check` runs every few seconds: it loads neither the database nor the web framework."""
    loads = f"import sys, {package.__name__}.{ENGINE}.health, {package.__name__}.infrastructure.settings"
    done = subprocess.run(
        [sys.executable, "-c", f"{loads}; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert not {"sqlalchemy", "fastapi"} & set(done.stdout.split())
# {% endif %}
