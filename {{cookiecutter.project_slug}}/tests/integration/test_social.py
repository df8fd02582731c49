"""Following, from the request to the graph."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import IntegrityError

from {{ cookiecutter.__package }}.accounts.models import User
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context
from {{ cookiecutter.__package }}.infrastructure.graph import (
    Direction,
    GraphRepository,
    close_graph,
    get_graph,
)
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings
from {{ cookiecutter.__package }}.infrastructure.tasks import close_task_pool, get_outbox, get_task_pool
from {{ cookiecutter.__package }}.social import service
from {{ cookiecutter.__package }}.social.models import Follow
from {{ cookiecutter.__package }}.social.service import FOLLOWS
from {{ cookiecutter.__package }}.social.tasks import rebuild_graph, sync_follow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from httpx import AsyncClient, Response

    from .conftest import RunJobs
    from signing_in import SignIn

pytestmark = pytest.mark.usefixtures("redis_url", "people")

#: The users are numbered from 1.
NAMES = ["Ada", "Bob", "Cleo", "Dan", "Eve"]


@pytest.fixture
async def people(redis_url: str, tables: None) -> AsyncIterator[None]:  # noqa: ARG001 - both come first
    """Some users; the graph's client is closed afterwards."""
    async with get_session_context() as session:
        session.add_all(User(id=i, email=f"{name}@example.com", name=name) for i, name in enumerate(NAMES, start=1))
    yield
    await close_graph()


@pytest.fixture
async def client(client: AsyncClient, people: None, sign_in: SignIn) -> AsyncClient:  # noqa: ARG001 - she is one of them
    """Give a client that is signed in as Ada, user 1."""
    client.headers.update(await sign_in("Ada@example.com"))
    return client


async def change(pair: tuple[int, int], *, following: bool) -> None:
    """Write the truth, and leave the graph as it is."""
    async with get_session_context() as session:
        action = service.follow if following else service.unfollow
        await action(session, follower_id=pair[0], followed_id=pair[1])


async def truth() -> set[tuple[int, int]]:
    async with get_session_context() as session:
        return {(row[0], row[1]) for row in await session.execute(select(Follow.follower_id, Follow.followed_id))}


async def graphed() -> set[Any]:
    found = [pair async for window in get_graph().relations(FOLLOWS) for pair in window]
    assert len(found) == len(set(found))
    return set(found)


async def names(client: AsyncClient, path: str) -> list[str]:
    response = await client.get(f"/api/v1/users/{path}")
    assert response.status_code == 200, response.text
    page = response.json()
    assert page["total"] == len(page["items"])
    return [person["name"] for person in page["items"]]


def assert_problem(response: Response, status: int, detail: str) -> None:
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, response.json()["detail"]) == (status, detail)


async def test_following_reaches_the_lists_by_a_job(client: AsyncClient, run_jobs: RunJobs, sign_in: SignIn) -> None:
    """The answer names the job; once that has run, each list shows who follows whom."""
    response = await client.put("/api/v1/users/1/following/2")
    assert response.status_code == 202
    job_id = response.json().pop("job_id")
    assert response.json() == {"follower_id": 1, "followed_id": 2, "following": True, "job_id": job_id}
    assert response.headers["location"] == f"/api/v1/jobs/{job_id}"
    assert await truth() == {(1, 2)}
    assert await names(client, "1/following") == []
    for name, number in (("Bob", 2), ("Cleo", 3)):
        await client.put(f"/api/v1/users/{number}/following/1", headers=await sign_in(f"{name}@example.com"))

    await run_jobs(sync_follow)
    job = (await client.get(response.headers["location"])).json()
    assert (job["status"], job["task"]) == ("success", "sync_follow")
    assert await names(client, "1/following") == ["Bob"]
    assert await names(client, "1/followers") == ["Bob", "Cleo"]
    assert await names(client, "1/friends") == ["Bob"]
    assert await names(client, "3/friends") == []


async def test_unfollowing_reaches_the_lists_by_a_job(client: AsyncClient, run_jobs: RunJobs, sign_in: SignIn) -> None:
    """One direction ends, the other stays, and they are friends no longer."""
    await client.put("/api/v1/users/1/following/2")
    await client.put("/api/v1/users/2/following/1", headers=await sign_in("Bob@example.com"))
    await run_jobs(sync_follow)
    response = await client.delete("/api/v1/users/1/following/2")
    assert response.status_code == 202
    assert response.json()["following"] is False
    assert await truth() == {(2, 1)}
    await run_jobs(sync_follow)
    assert await names(client, "1/following") == []
    assert await names(client, "1/followers") == ["Bob"]
    assert await names(client, "1/friends") == []


async def test_repeating_a_request_changes_nothing(client: AsyncClient, run_jobs: RunJobs) -> None:
    """Following twice, and unfollowing whom one does not follow, are both fine; each is synchronised again."""
    jobs = set()
    for method, other in (("PUT", 2), ("PUT", 2), ("DELETE", 3), ("DELETE", 3)):
        response = await client.request(method, f"/api/v1/users/1/following/{other}")
        assert response.status_code == 202
        jobs.add(response.json()["job_id"])
    assert len(jobs) == 4
    await run_jobs(sync_follow)
    assert await truth() == await graphed() == {(1, 2)}


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_nobody_follows_themselves(client: AsyncClient, method: str) -> None:
    """It is a problem that says so, and no job."""
    response = await client.request(method, "/api/v1/users/1/following/1")
    assert_problem(response, 422, "user 1 cannot follow themselves")
    assert await (await get_task_pool()).keys() == []


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_an_unknown_user_is_named(client: AsyncClient, method: str) -> None:
    """The problem says who does not exist, and nothing is written."""
    response = await client.request(method, "/api/v1/users/1/following/77")
    assert_problem(response, 404, "no user has the id 77")
    assert await truth() == set()
    assert await (await get_task_pool()).keys() == []


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("user_id", [2, 77])
async def test_nobody_decides_for_others(client: AsyncClient, method: str, user_id: int) -> None:
    """Whom somebody follows is changed by themselves only, whether they exist or not."""
    await change((2, 3), following=True)
    response = await client.request(method, f"/api/v1/users/{user_id}/following/3")
    assert_problem(response, 403, f"user {user_id} alone decides whom they follow")
    assert await truth() == {(2, 3)}
    assert await (await get_task_pool()).keys() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "1/following/2"),
        ("DELETE", "1/following/2"),
        ("GET", "1/following"),
        ("GET", "1/followers"),
        ("GET", "1/friends"),
    ],
)
async def test_everything_needs_somebody_signed_in(client: AsyncClient, method: str, path: str) -> None:
    """Without an access token there is nothing to see or to change."""
    del client.headers["Authorization"]
    response = await client.request(method, f"/api/v1/users/{path}")
    assert_problem(response, 401, "this needs an access token; sign in for one")
    assert await truth() == set()


@pytest.mark.parametrize("what", ["following", "followers", "friends"])
async def test_lists_of_an_unknown_user_are_not_found(client: AsyncClient, what: str) -> None:
    """An empty list would be a wrong answer."""
    assert_problem(await client.get(f"/api/v1/users/77/{what}"), 404, "no user has the id 77")


@pytest.mark.parametrize("what", ["following", "followers", "friends"])
async def test_lists_have_pages(client: AsyncClient, what: str) -> None:
    """Limit and offset cut a page out of the whole, whose size is given."""
    pairs = [pair for other in (5, 2, 4, 3) for pair in ((1, other), (other, 1))]
    for pair in pairs:
        await change(pair, following=True)
    await service.sync_follows(get_graph(), pairs)
    response = await client.get(f"/api/v1/users/1/{what}?limit=2&offset=1")
    assert response.json() == {
        "items": [{"id": 3, "name": "Cleo"}, {"id": 4, "name": "Dan"}],
        "total": 4,
        "limit": 2,
        "offset": 1,
    }
    assert (await client.get(f"/api/v1/users/1/{what}?offset=4")).json()["items"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "offset=-1", "offset=99999999999999999999"])
async def test_impossible_pages_are_bad_input(client: AsyncClient, query: str) -> None:
    """What makes no page is refused, with the name of the parameter."""
    response = await client.get(f"/api/v1/users/1/following?{query}")
    assert response.status_code == 422
    assert query.partition("=")[0] in response.json()["detail"]


async def test_a_deleted_user_leaves_the_lists(client: AsyncClient, run_jobs: RunJobs) -> None:
    """Follows go with the user; the lists leave out who is gone, and rebuilding the graph forgets them."""
    for pair in ((1, 2), (1, 3)):
        await change(pair, following=True)
    await service.sync_follows(get_graph(), [(1, 2), (1, 3)])
    async with get_session_context() as session:
        await session.execute(delete(User).where(User.id == 2))
    assert await truth() == {(1, 3)}
    page = (await client.get("/api/v1/users/1/following")).json()
    assert [person["name"] for person in page["items"]] == ["Cleo"]
    await (await get_task_pool()).enqueue_job("rebuild_graph")
    await run_jobs(rebuild_graph)
    assert await names(client, "1/following") == ["Cleo"]
    assert await get_graph().read("MATCH (n) RETURN n.id ORDER BY n.id") == [[1], [3]]


async def test_a_queue_that_is_away_loses_no_truth(
    client: AsyncClient, run_jobs: RunJobs, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The follow is written at once, and reaches the graph once Redis is back; only the lists answer 503 until then."""
    url = get_settings().redis.url

    async def use(url: str) -> None:
        monkeypatch.setenv("REDIS_URL", url)
        get_settings.cache_clear()
        await close_task_pool()
        await close_graph()

    await use(f"redis://127.0.0.1:{unused_tcp_port}/0")
    assert (await client.put("/api/v1/users/1/following/2")).status_code == 202
    assert await truth() == {(1, 2)}
    async with asyncio.timeout(1):
        assert_problem(await client.get("/api/v1/users/1/following"), 503, "the graph does not answer; try again")

    await use(url)
    assert await names(client, "1/following") == []
    await get_outbox().relay.publish()
    await run_jobs(sync_follow)
    assert await names(client, "1/following") == ["Bob"]


async def test_the_database_refuses_what_the_service_would() -> None:
    """Neither a follow of oneself nor one of nobody can be stored past the service."""
    for pair in ((1, 1), (1, 77)):
        with pytest.raises(IntegrityError):
            async with get_session_context() as session:
                session.add(Follow(follower_id=pair[0], followed_id=pair[1]))


async def test_following_at_the_same_time_is_one_follow() -> None:
    """Requests that all find no row do not fail over each other's."""
    await asyncio.gather(*(change((1, 2), following=True) for _ in range(10)))
    async with get_session_context() as session:
        assert await session.scalar(select(func.count()).select_from(Follow)) == 1


async def test_the_order_of_jobs_does_not_matter() -> None:
    """A job that comes late writes what is true then, not what it was enqueued for."""
    graph = get_graph()
    await change((1, 2), following=True)
    await change((1, 2), following=False)
    for _ in range(3):
        await service.sync_follows(graph, [(1, 2)])
        assert await graphed() == set()
    await change((1, 2), following=True)
    for _ in range(3):
        await service.sync_follows(graph, [(1, 2)])
        assert await graphed() == {(1, 2)}


class InterruptedGraph(GraphRepository):
    """A graph where something happens right before each of the first writes: as when its writer is slow."""

    def __init__(self, graph: GraphRepository, *interruptions: bool) -> None:
        super().__init__(graph.client)
        self.interruptions = list(interruptions)

    async def _interrupt(self) -> None:
        if self.interruptions:
            await change((1, 2), following=self.interruptions.pop(0))
            await service.sync_follows(get_graph(), [(1, 2)])  # the other job, start to end

    async def merge_relations(self, *args: Any, **kwargs: Any) -> None:
        await self._interrupt()
        await super().merge_relations(*args, **kwargs)

    async def delete_relations(self, *args: Any, **kwargs: Any) -> None:
        await self._interrupt()
        await super().delete_relations(*args, **kwargs)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("changes", [1, 2, 3])
async def test_a_slow_job_does_not_undo_a_newer_change(*, first: bool, changes: int) -> None:
    """What changed between a job's reading and its writing is mended by the job itself."""
    await change((1, 2), following=first)
    interruptions = [first if number % 2 else not first for number in range(changes)]
    await service.sync_follows(InterruptedGraph(get_graph(), *interruptions), [(1, 2)])
    assert await graphed() == await truth() == ({(1, 2)} if interruptions[-1] else set())


async def test_follows_that_never_settle_are_left_to_a_later_run() -> None:
    """A job does not write for ever: it fails with the reason, and is retried like any other."""
    interruptions = [number % 2 == 0 for number in range(service.ROUNDS)]
    with pytest.raises(service.UnsettledFollowsError, match=r"\(1, 2\)"):
        await service.sync_follows(InterruptedGraph(get_graph(), *interruptions), [(1, 2)])


async def test_many_changes_at_once_end_in_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    """After any mixture of changes and jobs that run beside each other, the graph holds the truth."""
    monkeypatch.setattr(service, "ROUNDS", 100)
    chance = random.Random(7)
    pairs = [(a, b) for a in range(1, 4) for b in range(1, 4) if a != b]
    graph = get_graph()

    async def act(pair: tuple[int, int], *, following: bool) -> None:
        await change(pair, following=following)
        await service.sync_follows(graph, [pair])

    for _ in range(5):
        actions = [act(chance.choice(pairs), following=chance.random() < 0.5) for _ in range(20)]
        await asyncio.gather(*actions, service.rebuild_graph(graph))
        assert await graphed() == await truth()


async def test_rebuilding_mends_whatever_is_wrong(run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing relations come, wrong ones and forgotten users go, in batches; a lost graph is made again."""
    monkeypatch.setattr(service, "BATCH", 3)
    right = {(a, b) for a in range(1, 6) for b in range(1, 6) if a != b and (a + b) % 3}
    wrong = {(a, b) for a in range(1, 6) for b in range(1, 6) if a != b} - right
    for pair in right:
        await change(pair, following=True)
    graph = get_graph()
    await graph.merge_relations(FOLLOWS, [*wrong, *list(right)[:4], (70, 1), (71, 72)])
    pool = await get_task_pool()
    for _ in ("mended", "lost"):
        job = await pool.enqueue_job("rebuild_graph")
        await run_jobs(rebuild_graph)
        assert job is not None
        assert await job.result(timeout=1) == len(right)
        assert await graphed() == right
        assert await graph.read("MATCH (n) RETURN count(n)") == [[5]]
        await pool.flushdb()


async def test_rebuilding_an_empty_graph_is_quick_work() -> None:
    """Nobody follows anybody, and there is no graph yet: nothing to do, and no error."""
    assert await service.rebuild_graph(get_graph()) == 0
    assert await graphed() == set()


async def test_a_rebuild_takes_several_queries_not_one_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of round trips grows with the batches, not with the follows."""
    everyone = range(1, 61)
    async with get_session_context() as session:
        session.add_all(User(id=i, email=f"{i}@example.com", name=str(i)) for i in everyone if i > len(NAMES))
    async with get_session_context() as session:
        await session.execute(
            text("INSERT INTO follows SELECT a.id, b.id, CURRENT_TIMESTAMP FROM users a, users b WHERE a.id <> b.id")
        )
    graph, runs = get_graph(), 0
    run = graph._run

    async def count(*args: Any, **kwargs: Any) -> Any:
        nonlocal runs
        runs += 1
        return await run(*args, **kwargs)

    monkeypatch.setattr(graph, "_run", count)
    assert await service.rebuild_graph(graph) == 60 * 59
    assert await graphed() == await truth()
    assert runs < 20


@pytest.mark.parametrize(
    ("direction", "expected"), [(Direction.OUT, [2, 3]), (Direction.IN, [2]), (Direction.MUTUAL, [2])]
)
async def test_the_service_needs_no_http(direction: Direction, expected: Collection[int]) -> None:
    """Called directly, it gives users and how many there are."""
    pairs = [(1, 2), (2, 1), (1, 3)]
    for pair in pairs:
        await change(pair, following=True)
    await service.sync_follows(get_graph(), pairs)
    async with get_session_context() as session:
        found = await service.find_people(session, get_graph(), 1, direction=direction, limit=10, offset=0)
    assert (found.total, [user.id for user in found.users]) == (len(expected), expected)
