"""Reports, exports and newsletters, from requests to mail: the API and a worker as processes, on each database."""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from e2e.everybody import Everybody


async def test_everybody_gets_what_was_asked_for(everybody: Everybody) -> None:
    """Users get their data, admins the report of a day, subscribers the newsletter: each asked for, and then mailed."""
    api, admin, grace = everybody.api, await everybody.sign_in("Ada", admin=True), await everybody.sign_in("Grace")

    await everybody.job(await api.post("/api/v1/exports", headers=grace), 202)
    link = re.search(r"/api/v1/exports/\S+", await everybody.message("Grace", "Your data is ready"))
    assert link
    download = await api.get(link[0])  # without signing in
    assert download.status_code == 200
    with zipfile.ZipFile(io.BytesIO(download.content)) as archive:
        [user] = json.loads(archive.read("users.json"))
    assert (user["email"], "password_hash" in user) == ("grace@example.com", False)

    await everybody.job(await api.post("/api/v1/reports", headers=admin), 202)
    assert len((await api.get("/api/v1/reports", headers=admin)).json()["items"]) == 1
    assert "Sign-ups: 0" in await everybody.message("Ada", "What happened on")

    assert (await api.put("/api/v1/newsletter/subscription", headers=grace)).status_code == 204
    news = {"subject": "We have moved", "body": "To Mount Street."}
    await everybody.job(await api.post("/api/v1/newsletters", json=news, headers=admin), 202)
    assert "To Mount Street." in await everybody.message("Grace", "We have moved")
