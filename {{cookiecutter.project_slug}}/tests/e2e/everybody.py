"""All of the service at once, with the people who use it: API, worker, mail server, each database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from processes import PATIENCE, command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from smtp_servers import Postbox

PASSWORD = "nobody guesses this"


class Everybody:
    """What tests do with a service that runs: as users over HTTP, and as those who get its mail."""

    def __init__(self, api: httpx.AsyncClient, postbox: Postbox) -> None:
        self.api = api
        self._postbox = postbox

    async def sign_in(self, name: str, *, admin: bool = False) -> Mapping[str, str]:
        """Sign somebody up and in, and give the header of their requests."""
        email = f"{name.lower()}@example.com"
        new = {"email": email, "name": name, "password": PASSWORD}
        assert (await self.api.post("/api/v1/users", json=new)).status_code == 201
        if admin:
            async with command("{{ cookiecutter.project_slug }}", "create-admin", email) as process:
                assert await process.end() == 0, process.output
        token = await self.api.post("/api/v1/auth/token", data={"username": email, "password": PASSWORD})
        return {"Authorization": f"Bearer {token.json()['access_token']}"}

    async def job(self, answer: httpx.Response, status: int) -> Any:
        """Wait, as whoever got the answer, for the job that it names, and give what its task has returned."""
        assert answer.status_code == status, answer.text
        path = f"/api/v1/jobs/{answer.json()['job_id']}"
        headers = {"Authorization": answer.request.headers["Authorization"]}
        job = await self.until(path, lambda job: job["finish_time"], headers=headers)
        assert (job["status"], job["error"]) == ("success", None)
        return job["result"]

    async def until(self, path: str, done: Callable[[Any], Any], headers: Mapping[str, str] | None = None) -> Any:
        """Look again and again, until what is there will do."""
        async with asyncio.timeout(PATIENCE):
            while not done(found := (await self.api.get(path, headers=headers)).json()):  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.05)
        return found

    async def message(self, name: str, subject: str) -> str:
        """Wait for a message to somebody, and give the text of the first with this in its subject."""
        async with asyncio.timeout(PATIENCE):
            while not (found := self._texts(name, subject)):  # noqa: ASYNC110 - it comes by SMTP
                await asyncio.sleep(0.05)
        return found[0]

    def _texts(self, name: str, subject: str) -> list[str]:
        mine = [each for each in self._postbox.messages if str(each["To"]).startswith(name.lower())]
        bodies = [each.get_body(("plain",)) for each in mine if subject in str(each["Subject"])]
        return [str(body.get_content()) for body in bodies if body]
