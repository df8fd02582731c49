set positional-arguments := true

# Programs are started hundreds of times: let Python keep what it has compiled, whatever the shell says.
export PYTHONDONTWRITEBYTECODE := ""

# List the recipes
default:
    @just --list --unsorted

# Generate a project, run it and watch its jobs: redis, valkey, falkordb or none
demo variant="redis":
    uv run python scripts/demo.py {{ variant }}

# Run the tests of the template, every variant included
[no-exit-message]
test *args:
    uv run pytest "$@"

# What CI checks beside the tests; changes nothing
check:
    uv run ruff check .
    uv run ruff format --check .
    uv run mypy $(ls -d hooks scripts tests benchmarks 2>/dev/null)

# Repair what can be repaired
fix:
    uv run ruff check --fix .
    uv run ruff format .

# Measure the rendered project beside its peers, for hours on an idle machine: --quick, --only PEER, --bench NAME, --help
[no-exit-message]
bench *args:
    uv run python -m benchmarks "$@"

# Generate a project to look at
render variant="redis" dest="/tmp/cookiecutter-fastapi-arq":
    uv run cookiecutter --no-input --overwrite-if-exists --output-dir "{{ dest }}" . cache_backend={{ variant }} project_slug=my-{{ variant }}
