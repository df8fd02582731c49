"""The command line of the project; `--help` lists the commands."""

import os
import shlex
import subprocess
import sys
# {% if cookiecutter.cache_backend != "none" %}
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
# {% endif %}
from typing import Annotated

import typer

from .accounts.commands import create_admin, set_role
# {% if cookiecutter.include_examples == "yes" %}
from .billing.commands import commands as billing
# {% endif %}
# {% if cookiecutter.cache_backend != "none" %}
from .console import commands as console
# {% endif %}
# {% if cookiecutter.include_examples == "yes" %}
from .reports.commands import commands as reports
# {% endif %}

# What a command needs is imported inside it: a health check runs every few seconds and has to start fast.
# ruff: noqa: PLC0415

PACKAGE = str(__package__)
# {% if cookiecutter.cache_backend != "none" %}
#: Where the embedded Redis keeps its data.
REDIS_DATA = Path(".data/redis")
#: Seconds that `dev` gives its processes to end; a worker finishes its running jobs first.
STOP_TIMEOUT = 35
# {% endif %}

Port = Annotated[int, typer.Option(help="Port to serve HTTP on.", min=1, max=65_535)]

main = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=f"Run and look after {PACKAGE}.")


@main.command()
def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Port = 8000,
    *,
    reload: Annotated[bool, typer.Option("--reload", help="Restart when the code changes.")] = False,
) -> None:
    """Serve HTTP."""
    import uvicorn

    uvicorn.run(f"{PACKAGE}.main:app", host=host, port=port, reload=reload, reload_dirs=["src"] if reload else None)


@main.command()
def dev(port: Port = 8000) -> None:
    """Run all of the service in one terminal, restarting what changes; Ctrl-C stops everything."""
    try:
        import honcho.manager
        from honcho.printer import Printer
    except ImportError:
        raise SystemExit("honcho is not installed; `uv sync` installs what development needs") from None

    api_command = shlex.join([sys.executable, "-m", PACKAGE, "api", "--reload", "--port", str(port)])
    typer.echo(f"API: http://127.0.0.1:{port}/docs")
    manager = honcho.manager.Manager(Printer(colour="NO_COLOR" not in os.environ))
    # {% if cookiecutter.cache_backend == "none" %}
    subprocess.run([sys.executable, "-m", "alembic", "upgrade", "head"], check=True)
    manager.add_process("api", api_command)
    manager.loop()
    # {% else %}
    honcho.manager.KILL_WAIT = STOP_TIMEOUT
    with redis_for_development() as url:
        environment = {**os.environ, "REDIS_URL": url, "PYTHONUNBUFFERED": "1"}
        subprocess.run([sys.executable, "-m", "alembic", "upgrade", "head"], check=True, env=environment)
        manager.add_process("api", api_command, env=environment)
        worker = [str(Path(sys.executable).with_name("arq")), f"{PACKAGE}.infrastructure.tasks.WorkerSettings"]
        watch = ["-m", "watchfiles", "--filter", "python", "--sigint-timeout", str(STOP_TIMEOUT)]
        manager.add_process("worker", shlex.join([sys.executable, *watch, shlex.join(worker), "src"]), env=environment)
        manager.loop()
    # {% endif %}
    raise typer.Exit(0 if manager.returncode == 130 else manager.returncode)  # noqa: PLR2004 - 130: Ctrl-C
# {% if cookiecutter.cache_backend != "none" %}


@main.command()
def redis() -> None:
    """Run the embedded Redis where REDIS_URL says; its data stays in .data/redis."""
    from .infrastructure.embedded import EmbeddedRedisError, command_for
    from .infrastructure.settings import get_settings

    REDIS_DATA.mkdir(parents=True, exist_ok=True)
    try:
        command = command_for(REDIS_DATA.resolve(), get_settings().redis.connection().port)
    except EmbeddedRedisError as error:
        raise SystemExit(str(error)) from None
    os.execv(command[0], command)  # noqa: S606 - the server takes the place of this process, and its signals


@main.command()
def worker_check() -> None:
    """Tell whether a worker of these WORKER_QUEUES is alive: exit status 0, or 1 also if Redis does not answer."""
    from .infrastructure.jobs.health import find_sign_of_life
    from .infrastructure.settings import CacheSettings, WorkerProcessSettings, read_settings

    queue = read_settings(WorkerProcessSettings).first_queue()
    sign, workers, problem = find_sign_of_life(read_settings(CacheSettings).connection(), queue)
    typer.echo(f"a worker is alive: {sign}" if sign else f"no worker is alive: {problem}", err=not sign)
    for worker in workers:
        typer.echo(
            f"{worker.host}, process {worker.pid}, release {worker.version}, queues {', '.join(worker.queues)}: "
            f"{worker.running} running, {worker.complete} complete, {worker.failed} failed, {worker.retried} retried, "
            f"{worker.lost} lost"
        )
    raise typer.Exit(0 if sign else 1)


@contextmanager
def redis_for_development() -> Iterator[str]:
    """Give the URL of the Redis at REDIS_URL if it answers, else of an embedded one in its place."""
    from .infrastructure.embedded import HOST, EmbeddedRedisError, embedded_redis
    from .infrastructure.jobs.health import ping
    from .infrastructure.settings import get_settings

    settings = get_settings().redis
    address = settings.connection()
    problem = ping(address)
    if problem is None:
        typer.echo(f"Redis: the one at {address}")
        yield settings.url
        return
    if address.sentinel or address.ssl or address.unix_socket_path or address.host not in {HOST, "localhost"}:
        raise SystemExit(f"the Redis at {address} does not answer ({problem}), and only one on {HOST} can be embedded")
    try:
        with embedded_redis(REDIS_DATA, address.port) as url:
            typer.echo(f"Redis: embedded, {url}, data in {REDIS_DATA}")
            yield url
    except EmbeddedRedisError as error:
        raise SystemExit(str(error)) from None
# {% endif %}


main.command()(create_admin)
main.command()(set_role)
# {% if cookiecutter.cache_backend != "none" %}
main.add_typer(console)
# {% endif %}
# {% if cookiecutter.include_examples == "yes" %}
main.add_typer(billing, name="billing")
main.add_typer(reports, name="reports")
# {% endif %}
