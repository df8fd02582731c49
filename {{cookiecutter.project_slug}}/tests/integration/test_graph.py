"""The graph on a real FalkorDB."""

from __future__ import annotations

import asyncio
from math import isfinite
from typing import TYPE_CHECKING, Any

import pytest
from falkordb.asyncio.graph import AsyncGraph
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from {{ cookiecutter.__package }}.infrastructure import graph as graph_module
from {{ cookiecutter.__package }}.infrastructure.cypher import (
    MAX_KEY,
    GraphNameError,
    GraphQueryError,
    GraphValueError,
    NodeType,
    RelationType,
)
from {{ cookiecutter.__package }}.infrastructure.graph import (
    GRAPH_NAME,
    Direction,
    GraphRepository,
    Neighbours,
    close_graph,
    get_graph,
)
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PERSON = NodeType("Person", "name")
PLACE = NodeType("Place")
KNOWS = RelationType("KNOWS", source=PERSON, target=PERSON)
VISITED = RelationType("VISITED", source=PERSON, target=PLACE)

HOSTILE_TEXTS = [
    '"',
    '\\"',
    '\\\\"',
    "a\\",
    "'",
    "`",
    '"}) CREATE (:Evil) //',
    '" CREATE (:Evil) RETURN "',
    "'; MATCH (n) DETACH DELETE n //",
    '\\" DETACH DELETE n //',
    "// /* */ --",
    "CYPHER key=1 CREATE (:Evil)",
    "$key",
    "a\nb\r\n\tc",
    "\\n \\u0022 \\x22 \\",
    "\x01\x7f\x85\u2028\ufeff",
    "é 漢 😀 ﷽",
    "",
    " ",
    "x" * 100_000,
]

# FalkorDB stores a float as it is, and shows 15 digits of it.
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,62}", fullmatch=True)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda value: float(f"{value:.15g}")).filter(isfinite)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    | st.sampled_from(HOSTILE_TEXTS)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=8
)


@pytest.fixture
async def graph(redis_url: str) -> AsyncIterator[GraphRepository]:
    """The application's graph, which does not exist yet."""
    assert redis_url
    yield get_graph()
    await close_graph()


async def count_nodes(graph: GraphRepository) -> int:
    rows = await graph.read("MATCH (n) RETURN count(n)")
    return int(rows[0][0]) if rows else 0


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
async def test_no_text_breaks_out(graph: GraphRepository, text: str) -> None:
    """Hostile text is stored and found as the text that it is, as a key and as a property, alone and in a list."""
    key = f"-{text[:1000]}-".replace("\1", "")
    await graph.merge_node(PERSON, key, {"note": text, "notes": [text, text]})
    await graph.merge_relations(KNOWS, [(key, "b"), ("b", key)])
    assert await graph.get_node(PERSON, key) == {"name": key, "note": text, "notes": [text, text]}
    assert await graph.neighbours(KNOWS, "b", direction=Direction.MUTUAL) == Neighbours(1, [key])
    assert await graph.read("MATCH (n) RETURN labels(n), n.name ORDER BY n.name = 'b'") == [
        [["Person"], key],
        [["Person"], "b"],
    ]


async def test_every_key_is_told_from_all_others(graph: GraphRepository) -> None:
    """Keys that differ little are different nodes for the index too, as long and as large as they may be."""
    keys: list[int | str] = [0, -1, "0", "1", *"aAáß*-\\\x02", "a\u0301", "ss", "a b", "a\tb", "a*", "a|b", "{a}"]
    keys += ["\\\\", "\xa0a", "\u2003a", "x" * MAX_KEY, "y" + "x" * (MAX_KEY - 1), "漢" * (MAX_KEY // 3)]
    keys += [f"x{chr(number)}y" for number in range(2, 0x250)]
    keys += [sign * 2**power + step for power in range(50, 62) for sign in (1, -1) for step in range(3)]
    keys += [2**63 - 1, 2**63 - 2, 2**62 + 1, -(2**62)]
    for _ in range(2):
        for key in keys:
            await graph.merge_node(PERSON, key)
    assert [await graph.get_node(PERSON, key) for key in keys] == [{"name": key} for key in keys]
    assert await count_nodes(graph) == len(keys)


@given(value=VALUES)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_value_comes_back_as_it_went(graph: GraphRepository, value: Any) -> None:
    """A parameter reaches the graph unchanged, however it is nested, and leaves nothing else behind."""
    assert await graph.write("RETURN $value, 'end'", value=value) == [[value, "end"]]
    assert await count_nodes(graph) == 0


async def test_the_client_alone_would_let_a_key_break_out(graph: GraphRepository) -> None:
    """Why values are not left to falkordb 1.2.0: the key of a mapping is run as Cypher; through us it is refused."""
    hostile = {"a:1} CREATE (:Evil) //": 1}
    with pytest.raises(GraphNameError, match="Evil"):
        await graph.write("RETURN $value", value=hostile)
    assert await count_nodes(graph) == 0
    await AsyncGraph(graph.client, GRAPH_NAME).query("RETURN $value", {"value": hostile})
    assert await count_nodes(graph) == 1, "the client escapes keys now: cypher.literal may be simpler"


async def test_a_refused_value_changes_nothing(graph: GraphRepository) -> None:
    """What cannot be stored is an error before anything is sent."""
    await graph.merge_node(PERSON, "Ada")
    with pytest.raises(GraphValueError, match="'properties'"):
        await graph.merge_node(PERSON, "Eve", {"note": "a\0b"})
    with pytest.raises(GraphNameError, match="'not a name'"):
        await graph.merge_node(PERSON, "Eve", {"not a name": 1})
    assert await count_nodes(graph) == 1


async def test_reserved_words_are_names(graph: GraphRepository) -> None:
    """A label, key, relation type or property may be called like a word of Cypher."""
    order = NodeType("MATCH", "WHERE")
    null = RelationType("DELETE", source=order, target=order)
    await graph.merge_node(order, 1, {"null": 1, "true": 2})
    await graph.merge_relations(null, [(1, 2)], properties={"RETURN": 1})
    assert await graph.get_node(order, 1) == {"WHERE": 1, "null": 1, "true": 2}
    assert await graph.neighbours(null, 1, direction=Direction.OUT) == Neighbours(1, [2])


async def test_merging_a_node_adds_to_it(graph: GraphRepository) -> None:
    """There is one node for each key; properties are added, replaced, and with None removed."""
    await graph.merge_node(PERSON, "Ada", {"born": 1815, "note": "x"})
    await graph.merge_node(PERSON, "Ada", {"note": None, "born": 1816, "tags": ["a"]})
    await graph.merge_node(PERSON, "Ada")
    assert await graph.get_node(PERSON, "Ada") == {"name": "Ada", "born": 1816, "tags": ["a"]}
    assert await count_nodes(graph) == 1


async def test_deleting_a_node_takes_its_relations(graph: GraphRepository) -> None:
    """The neighbours stay, and deleting again says that there was nothing."""
    await graph.merge_relations(KNOWS, [("Ada", "Bob"), ("Bob", "Ada")])
    assert await graph.delete_node(PERSON, "Ada")
    assert not await graph.delete_node(PERSON, "Ada")
    assert await graph.get_node(PERSON, "Ada") is None
    assert await graph.get_node(PERSON, "Bob") == {"name": "Bob"}
    assert await graph.neighbours(KNOWS, "Bob", direction=Direction.OUT) == Neighbours(0, [])


async def test_relations_are_merged_and_deleted_any_number_of_times(graph: GraphRepository) -> None:
    """Each pair has one relation or none, in its own direction, whatever was there before."""
    pairs = [("Ada", "Bob"), ("Ada", "Eve"), ("Ada", "Bob")]
    for since in (1, 2):
        await graph.merge_relations(KNOWS, pairs, properties={"since": since})
    query = "MATCH (a)-[r]->(b) RETURN a.name, type(r), b.name, properties(r) ORDER BY b.name"
    rows = [["Ada", "KNOWS", "Bob", {"since": 2}], ["Ada", "KNOWS", "Eve", {"since": 2}]]
    assert await graph.read(query) == rows
    for _ in range(2):
        await graph.delete_relations(KNOWS, [("Ada", "Eve"), ("Bob", "Ada"), ("no", "body")])
    assert await graph.read(query) == rows[:1]
    assert await count_nodes(graph) == 3
    await graph.delete_unrelated(PERSON)
    assert await count_nodes(graph) == 2
    await graph.merge_relations(KNOWS, [])
    await graph.delete_relations(KNOWS, [])
    assert await graph.read(query) == rows[:1]


async def test_merging_at_the_same_time_makes_no_twins(graph: GraphRepository) -> None:
    """Many writers of the same relation, each new to the graph, make it once, with one node at each end."""
    for _ in range(30):
        writers = [GraphRepository(graph.client) for _ in range(20)]
        await asyncio.gather(*(writer.merge_relations(KNOWS, [("Ada", "Bob")]) for writer in writers))
        assert await graph.read("MATCH (a)-[r]->(b) RETURN count(r)") == [[1]]
        assert await count_nodes(graph) == 2
        await graph.client.delete(GRAPH_NAME)


async def test_neighbours_by_direction(graph: GraphRepository) -> None:
    """Those it points to, those that point to it, and those for which both are true; keys keep their type."""
    await graph.merge_relations(KNOWS, [("Ada", "Bob"), ("Bob", "Ada"), ("Ada", "Eve"), ("Joe", "Ada")])
    await graph.merge_relations(VISITED, [("Ada", 1), ("Bob", 1), ("Ada", 2)])
    await graph.write("MATCH (a {name: 'Ada'}), (b {name: 'Bob'}) CREATE (a)-[:KNOWS]->(b)")  # a second one counts once

    async def keys(relation: RelationType, key: int | str, direction: Direction) -> list[int | str]:
        page = await graph.neighbours(relation, key, direction=direction)
        assert page.total == len(page.keys)
        return page.keys

    assert await keys(KNOWS, "Ada", Direction.OUT) == ["Bob", "Eve"]
    assert await keys(KNOWS, "Ada", Direction.IN) == ["Bob", "Joe"]
    assert await keys(KNOWS, "Ada", Direction.MUTUAL) == ["Bob"]
    assert await keys(KNOWS, "Eve", Direction.MUTUAL) == []
    assert await keys(KNOWS, "nobody", Direction.OUT) == []
    assert await keys(VISITED, "Ada", Direction.OUT) == [1, 2]
    assert await keys(VISITED, 1, Direction.IN) == ["Ada", "Bob"]
    assert await keys(VISITED, "1", Direction.IN) == []


async def test_neighbours_by_page(graph: GraphRepository) -> None:
    """Pages follow each other in the order of the keys, and each says how many there are in all."""
    await graph.merge_relations(VISITED, [("Ada", place) for place in (5, 3, 10, 1, 4)])

    async def page(**window: int) -> Neighbours:
        return await graph.neighbours(VISITED, "Ada", direction=Direction.OUT, **window)

    assert await page(limit=2) == Neighbours(5, [1, 3])
    assert await page(limit=2, offset=2) == Neighbours(5, [4, 5])
    assert await page(limit=2, offset=4) == Neighbours(5, [10])
    assert await page(limit=2, offset=5) == Neighbours(5, [])
    assert await page(limit=2, offset=2**31) == Neighbours(5, [])


async def test_all_relations_in_windows(graph: GraphRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every relation of the type is given once, over several windows, past nodes that are gone or of other types."""
    monkeypatch.setattr(graph_module, "WINDOW", 3)
    assert [window async for window in graph.relations(VISITED)] == []
    pairs = {(f"p{number}", number * 7 % 5) for number in range(20)}
    await graph.merge_relations(KNOWS, [("p1", "p2"), ("p2", "p1")])
    await graph.merge_relations(VISITED, list(pairs))
    await graph.delete_node(PERSON, "p3")
    windows = [window async for window in graph.relations(VISITED)]
    found = [pair for window in windows for pair in window]
    assert len(windows) > 5
    assert sorted(found) == sorted(pair for pair in pairs if pair[0] != "p3")


async def test_keys_are_indexed_once(graph: GraphRepository) -> None:
    """The first merge makes the index, an existing one is no error, and look-ups use it."""
    await graph.merge_relations(VISITED, [("Ada", 1)])
    await graph.ensure_index(PERSON)
    await graph.ensure_index(PLACE)
    await GraphRepository(graph.client).merge_node(PERSON, "Bob")
    indexes = await graph.read("CALL db.indexes() YIELD label, properties RETURN label, properties ORDER BY label")
    assert indexes == [["Person", ["name"]], ["Place", ["id"]]]
    plan = await AsyncGraph(graph.client, GRAPH_NAME).explain("MATCH (n:Person {name: 'Ada'}) RETURN n.name")
    assert "Index Scan" in str(plan)


async def test_each_operation_is_one_round_trip(graph: GraphRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the keys are indexed, nothing is sent twice."""
    await graph.merge_relations(VISITED, [("Ada", 1)])
    sent = 0
    send = AbstractConnection.send_packed_command

    async def count(self: AbstractConnection, *args: Any, **kwargs: Any) -> None:
        nonlocal sent
        sent += 1
        await send(self, *args, **kwargs)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", count)
    operations = [
        graph.merge_node(PERSON, "Ada", {"born": 1815}),
        graph.get_node(PERSON, "Ada"),
        graph.merge_relations(VISITED, [("Ada", 1), ("Ada", 2), ("Bob", 1)]),
        graph.neighbours(VISITED, "Ada", direction=Direction.OUT),
        graph.delete_relations(VISITED, [("Ada", 1), ("Ada", 2)]),
        graph.delete_node(PERSON, "Ada"),
        graph.delete_unrelated(PERSON),
    ]
    for operation in operations:
        await operation
    assert sent == len(operations)


async def test_reading_makes_no_graph(graph: GraphRepository) -> None:
    """Before the first write there is nothing to read, and reading does not change that."""
    assert await graph.read("MATCH (n) RETURN n.name") == []
    assert await graph.get_node(PERSON, "Ada") is None
    assert await graph.neighbours(KNOWS, "Ada", direction=Direction.OUT) == Neighbours(0, [])
    assert await graph.client.keys() == []


async def test_reading_cannot_write(graph: GraphRepository) -> None:
    """A query that would change the graph is refused where reading was promised."""
    await graph.merge_node(PERSON, "Ada")
    with pytest.raises(GraphQueryError, match="DETACH DELETE n"):
        await graph.read("MATCH (n) DETACH DELETE n")
    assert await count_nodes(graph) == 1


@pytest.mark.parametrize("query", ["MTCH (n) RETURN n", "RETURN $missing", "RETURN 1; RETURN 2"])
async def test_a_bad_query_is_shown_in_its_error(graph: GraphRepository, query: str) -> None:
    """The error holds the query and FalkorDB's reason, and the next query works."""
    with pytest.raises(GraphQueryError) as caught:
        await graph.write(query)
    assert repr(query) in str(caught.value)
    assert await graph.write("RETURN 1") == [[1]]


async def test_properties_are_right_after_the_graph_was_made_anew(graph: GraphRepository) -> None:
    """Someone else's delete cannot mix up names, as it does for whole nodes in the client's cache."""
    await graph.write("CREATE (:Person {name: 'Ada', age: 1})")
    assert await graph.get_node(PERSON, "Ada") == {"name": "Ada", "age": 1}
    await graph.client.delete(GRAPH_NAME)
    await graph.write("CREATE (:Place {age: 2, name: 'Ada', id: 3})")
    await graph.write("CREATE (:Person {age: 2, name: 'Ada'})")
    assert await graph.get_node(PERSON, "Ada") == {"name": "Ada", "age": 2}


async def test_there_is_one_client_until_it_is_closed(graph: GraphRepository) -> None:
    """The same graph is given each time, and after closing a new one that works."""
    assert get_graph() is graph
    await close_graph()
    await close_graph()
    assert get_graph() is not graph
    assert await get_graph().write("RETURN 1") == [[1]]


@pytest.mark.usefixtures("redis_url")
async def test_a_falkordb_that_is_away_shows_at_once(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operation fails with redis-py's error instead of waiting; making the client asks nobody."""
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{unused_tcp_port}/0")
    get_settings.cache_clear()
    graph = get_graph()
    async with asyncio.timeout(2):
        with pytest.raises(RedisConnectionError):
            await graph.merge_node(PERSON, "Ada")
    await close_graph()
