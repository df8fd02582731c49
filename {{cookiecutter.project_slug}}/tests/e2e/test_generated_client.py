"""A client that a program has made from the OpenAPI document can call all of the service, and reads every answer."""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import owned_by
from {{ cookiecutter.__package }}.infrastructure.tasks import WorkerSettings, enqueue_task, example_task

from integration.conftest import run_jobs
from processes import command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    import httpx

    from integration.conftest import RunJobs
    from signing_in import SignIn

__all__ = ["run_jobs"]

PACKAGE = "generated_client"
#: Files that are downloaded are bytes.
CONFIG = {"post_hooks": [], "content_type_overrides": {"application/zip": "application/octet-stream"}}

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("redis_url")]


class Generated:
    """The client, and the document that it is made from."""

    def __init__(self, document: Mapping[str, Any], client: Any) -> None:
        self.document = document
        self.operations = {
            operation["operationId"]: operation for path in document["paths"].values() for operation in path.values()
        }
        self.called: set[str] = set()
        self._client = client

    async def call(self, name: str, /, **values: Any) -> Any:
        """Call an operation with these values, and else with those of the document's examples.

        An answer that the document does not name is an error, and so is one that cannot be read.
        """
        operation = self.operations[name]
        tag = operation["tags"][0].replace(": ", "_").replace(" ", "_")
        function = import_module(f"{PACKAGE}.api.{tag}.{name}").asyncio_detailed
        types = get_type_hints(function, include_extras=True)
        for parameter in signature(function).parameters.values():
            if parameter.name in {"client", *values}:
                continue
            wanted = parameter.default is Parameter.empty
            if wanted and parameter.name == "body":
                [content] = operation["requestBody"]["content"].values()
                values["body"] = types["body"].from_dict(self.example(content))
            elif parameter.name == "body":
                values["body"] = None  # what the client sends by itself cannot be sent
            elif wanted:
                [values[parameter.name]] = [
                    self.example(each) for each in operation["parameters"] if each["name"] == parameter.name
                ]
        self.called.add(name)
        answer = await function(client=self._client, **values)
        media = answer.headers.get("content-type", "").partition(";")[0]
        assert answer.parsed is not None or not (answer.content and media.endswith("json")), f"{name}: {answer}"
        return answer

    async def do(self, name: str, /, **values: Any) -> Any:
        """Call an operation that succeeds, and give what it answers."""
        answer = await self.call(name, **values)
        assert answer.status_code < 300, f"{name}: {answer}"
        return answer.parsed

    def model(self, name: str, /, **values: Any) -> Any:
        """Make what an operation takes."""
        return getattr(import_module(f"{PACKAGE}.models"), name).from_dict(values)

    def example(self, content: Mapping[str, Any]) -> Any:
        """Find an example: of the whole, or made of those of its parts."""
        schema = content.get("schema", {})
        if "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        for where in (content, schema):
            if "example" in where:
                return where["example"]
            if "examples" in where:
                return where["examples"][0]
        if "properties" in schema:
            return {name: self.example({"schema": part}) for name, part in schema["properties"].items()}
        return schema.get("default", schema.get("minimum", schema.get("const", "x")))


@pytest.fixture
async def generated(
    api: httpx.AsyncClient, sign_in: SignIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Generated]:
    """Give the client, as an administrator."""
    document = (await api.get("/openapi.json")).json()
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    words = ["--path", tmp_path / "openapi.json", "--config", tmp_path / "config.json", "--meta", "none"]
    words += ["--fail-on-warning", "--output-path", tmp_path / PACKAGE]
    async with command("openapi-python-client", "generate", *map(str, words)) as generate:
        assert await generate.end() == 0, generate.output
    monkeypatch.syspath_prepend(tmp_path)
    token = (await sign_in("root@example.com", role="admin"))["Authorization"].removeprefix("Bearer ")
    settings: dict[str, Any] = {"token": token, "timeout": api.timeout, "raise_on_unexpected_status": True}
    client = import_module(PACKAGE).AuthenticatedClient(base_url=str(api.base_url).rstrip("/"), **settings)
    async with client:
        yield Generated(document, client)


async def test_it_can_call_all_of_the_service(generated: Generated, run_jobs: RunJobs) -> None:
    """What there is to do with jobs is done; all the rest is called, too, and whatever is answered can be read."""
    me = await generated.do("read_me")
    with owned_by(str(me.id)):
        await jobs_of_ones_own(generated)
        await failed_jobs(generated, run_jobs)
    await queues_and_schedules(generated)
    await workers(generated)
    for name in ("list_jobs", "list_audit_entries", "show_overview", "act_on_jobs"):
        await generated.do(name)
    # What signs the client out comes last.
    rest = sorted(generated.operations.keys() - generated.called, key=lambda name: "password" in name)
    for name in rest:
        await generated.call(name)
    assert generated.called == generated.operations.keys()


async def jobs_of_ones_own(generated: Generated) -> None:
    job_id = await enqueue_task("example_task", message="x", _job_id="own/1")
    assert (await generated.do("read_job", job_id=job_id)).status == "pending"
    assert (await generated.do("cancel_job", job_id=job_id)).status == "cancelled"
    answer = await generated.call("watch_job", job_id=job_id)
    assert b"event: end\n" in answer.content
    again = await generated.call("cancel_job", job_id=job_id)
    assert (again.status_code, again.parsed.state) == (409, "cancelled")


async def failed_jobs(generated: Generated, run_jobs: RunJobs) -> None:
    async def fails(_ctx: object, **_kwargs: object) -> None:
        raise ValueError("no")

    fails.__qualname__ = example_task.__name__
    ids = [str(await enqueue_task("example_task", message="x")) for _ in range(3)]
    await run_jobs(fails, max_tries=1)
    assert {each.job_id for each in (await generated.do("list_dead_letters")).dead_letters} == set(ids)
    assert (await generated.do("inspect_job", job_id=ids[0])).error == "ValueError: no"
    edited = generated.model("RetryRequest", kwargs={"message": "edited"})
    new_id = (await generated.do("retry_job", job_id=ids[0], body=edited)).job_id
    assert (await generated.do("end_job", job_id=new_id)).status == "cancelled"
    await generated.do("replay_dead_letter", job_id=ids[1])
    await generated.do("discard_dead_letter", job_id=ids[2])


async def queues_and_schedules(generated: Generated) -> None:
    assert (await generated.do("list_queues"))[0].name == "default"
    assert (await generated.do("pause_queue", name="default")).paused
    assert not (await generated.do("resume_queue", name="default")).paused
    assert (await generated.do("purge_queue", name="default")).purged == 1
    schedule = await generated.do("add_schedule")
    assert schedule.id in [each.id for each in await generated.do("list_schedules")]
    named = {"schedule_id": schedule.id}
    assert (await generated.do("read_schedule", **named)) == schedule
    await generated.do("change_schedule", **named)
    assert (await generated.do("pause_schedule", **named)).paused
    assert not (await generated.do("resume_schedule", **named)).paused
    await generated.do("run_schedule", **named)
    await generated.do("remove_schedule", **named)


async def workers(generated: Generated) -> None:
    async with command("arq", f"{WorkerSettings.__module__}.WorkerSettings") as process:
        listening = asyncio.create_task(process.listen())
        while not (found := await generated.do("list_workers")):  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.05)
        await generated.do("quiet_worker", worker_id=found[0].worker_id)
        await generated.do("stop_worker", worker_id=found[0].worker_id)
        await listening
