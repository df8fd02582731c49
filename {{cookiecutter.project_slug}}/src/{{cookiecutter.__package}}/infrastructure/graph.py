"""FalkorDB: a client for each event loop, and a repository that neither a name nor a value can break out of.

`cypher.py` checks the names and writes the values.

A FalkorDB that is away shows as redis-py's own `ConnectionError` or `TimeoutError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from falkordb.asyncio.graph import AsyncGraph
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from .cypher import GraphQueryError, Key, NodeType, RelationType, check_key, header
from .jobs.connections import close_client, make_client
from .per_loop import PerLoop
from .settings import get_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

#: The key in Redis that holds the graph.
GRAPH_NAME = "graph"

#: Nodes whose relations `relations()` reads in one round trip.
WINDOW = 1000


class Direction(Enum):
    """Which neighbours: those it points to, those that point to it, or those for which both are true."""

    OUT = "out"
    IN = "in"
    MUTUAL = "mutual"


@dataclass(frozen=True, slots=True)
class Neighbours:
    """A page of neighbours' keys, in ascending order, and how many there are in all."""

    total: int
    keys: list[Key]


class GraphRepository:
    """One graph. An operation is one round trip and atomic on the server; a type's first merge also prepares the type.

    A key that an index cannot tell from others is a `GraphValueError`, see `check_key`.
    """

    def __init__(self, client: Redis, name: str = GRAPH_NAME) -> None:
        """Use the graph `name` through `client`, which must decode responses."""
        self.client = client
        # Not falkordb.asyncio.FalkorDB: its constructor asks the server about clusters, and blocks the loop meanwhile.
        self._graph = AsyncGraph(client, name)
        self._prepared: set[NodeType | RelationType] = set()

    async def write(self, query: str, **parameters: Any) -> list[list[Any]]:
        """Run a query that may change the graph and give its rows; use values as `$name`.

        Return values, and nodes as `properties(n)`: the client turns the numbers that stand for names in a whole node
        into names that it keeps, and these are wrong when someone else has deleted the graph and filled it again.

        Raises:
            GraphQueryError: FalkorDB refused it.
            GraphValueError, GraphNameError: see `literal`.
        """
        return await self._run(query, parameters, read_only=False)

    async def read(self, query: str, **parameters: Any) -> list[list[Any]]:
        """Run a query that changes nothing, as `write` does; a graph that does not exist yet has no rows."""
        return await self._run(query, parameters, read_only=True)

    async def merge_node(self, node: NodeType, key: Key, properties: Mapping[str, Any] | None = None) -> None:
        """Make a node be there and have these properties; its other properties stay, and None removes one."""
        if node not in self._prepared:
            await self.ensure_index(node)
        query = f"MERGE {node.pattern('n', '$key')} SET n += $properties"
        await self.write(query, key=check_key(key), properties=properties or {})

    async def get_node(self, node: NodeType, key: Key) -> dict[str, Any] | None:
        """Read a node's properties; None if it is not there."""
        query = f"MATCH {node.pattern('n', '$key')} RETURN properties(n)"
        rows = await self.read(query, key=check_key(key))
        return dict(rows[0][0]) if rows else None

    async def delete_node(self, node: NodeType, key: Key) -> bool:
        """Delete a node and its relations; False if it was not there."""
        query = f"MATCH {node.pattern('n', '$key')} WITH n, n.`{node.key}` AS key DETACH DELETE n RETURN key"
        rows = await self.write(query, key=check_key(key))
        return bool(rows)

    async def delete_unrelated(self, node: NodeType) -> None:
        """Delete the nodes of a type that no relation touches."""
        await self.write(f"MATCH {node.pattern('n')} WHERE NOT (n)--() DELETE n")

    async def merge_relations(
        self, relation: RelationType, pairs: Iterable[tuple[Key, Key]], *, properties: Mapping[str, Any] | None = None
    ) -> None:
        """Make a relation be there for each (source, target), and the nodes where they are missing."""
        if relation not in self._prepared:
            await self.ensure_relation(relation)
        source, target = relation.source.pattern("a", "pair[0]"), relation.target.pattern("b", "pair[1]")
        query = f"UNWIND $pairs AS pair MERGE {source} MERGE {target} MERGE (a){relation.pattern('r')}(b)"
        await self.write(f"{query} SET r += $properties", pairs=_check_pairs(pairs), properties=properties or {})

    async def delete_relations(self, relation: RelationType, pairs: Iterable[tuple[Key, Key]]) -> None:
        """Make no relation be there for any (source, target); their nodes stay."""
        source, target = relation.source.pattern("a", "pair[0]"), relation.target.pattern("b", "pair[1]")
        query = f"UNWIND $pairs AS pair MATCH {source}{relation.pattern('r')}{target} DELETE r"
        await self.write(query, pairs=_check_pairs(pairs))

    async def neighbours(
        self, relation: RelationType, key: Key, *, direction: Direction, limit: int = 50, offset: int = 0
    ) -> Neighbours:
        """Give a page of the nodes that a node is related to; an unknown node has none."""
        inward = direction is Direction.IN
        start, end = (relation.target, relation.source) if inward else (relation.source, relation.target)
        known, other, arrow = start.pattern("a", "$key"), end.pattern("n"), relation.pattern()
        path = f"{other}{arrow}{known}" if inward else f"{known}{arrow}{other}"
        if direction is Direction.MUTUAL:
            path += f"{arrow}(a)"
        rows = await self.read(
            f"MATCH {path} WITH DISTINCT n.`{end.key}` AS key ORDER BY key WITH collect(key) AS keys "
            "RETURN size(keys), keys[$offset..$end]",
            key=check_key(key),
            offset=offset,
            end=offset + limit,
        )
        return Neighbours(*rows[0]) if rows else Neighbours(0, [])

    async def relations(self, relation: RelationType) -> AsyncIterator[list[tuple[Key, Key]]]:
        """Go through all relations of a type as lists of (source, target), in no order, `WINDOW` sources a round trip.

        Those that come or go meanwhile may or may not be among them.
        """
        nodes = relation.source.pattern("a")
        rows = await self.read(f"MATCH {nodes} RETURN max(ID(a))")
        end = int(rows[0][0]) + 1 if rows and rows[0][0] is not None else 0
        related = f"(a){relation.pattern()}{relation.target.pattern('b')}"
        keys = f"a.`{relation.source.key}`, b.`{relation.target.key}`"
        query = f"MATCH {nodes} WHERE ID(a) >= $low AND ID(a) < $high MATCH {related} RETURN DISTINCT {keys}"
        for low in range(0, end, WINDOW):
            yield [(source, target) for source, target in await self.read(query, low=low, high=low + WINDOW)]

    async def ensure_index(self, node: NodeType) -> None:
        """Index a type's key, without which each look-up reads all its nodes; the first merge does it by itself."""
        try:
            await self.write(f"CREATE INDEX FOR {node.pattern('n')} ON (n.`{node.key}`)")
        except GraphQueryError as error:
            if "already indexed" not in str(error):
                raise
        self._prepared.add(node)

    async def ensure_relation(self, relation: RelationType) -> None:
        """Make a relation type known to the graph, and index its keys; the first merge does it by itself.

        FalkorDB plans a query before it locks the graph. Merges that were planned while their relation type did not
        exist find no relation when they run one after the other, and each makes its own.
        """
        for node in (relation.source, relation.target):
            await self.ensure_index(node)
        if [relation.name] not in await self.read("CALL db.relationshipTypes()"):
            await self.write(f"CREATE (a){relation.pattern('r')}(b) DELETE r, a, b")
        self._prepared.add(relation)

    async def _run(self, query: str, parameters: dict[str, Any], *, read_only: bool) -> list[list[Any]]:
        run = self._graph.ro_query if read_only else self._graph.query
        try:
            result = await run(header(parameters) + query)
        except ResponseError as error:
            if read_only and "empty key" in str(error):  # nothing was ever written
                return []
            raise GraphQueryError(query, str(error)) from error
        rows: list[list[Any]] = result.result_set
        return rows


def _check_pairs(pairs: Iterable[tuple[Key, Key]]) -> list[tuple[Key, Key]]:
    return [(check_key(source), check_key(target)) for source, target in pairs]


@PerLoop
def get_graph() -> GraphRepository:
    """Give this event loop's graph; it connects at its first query."""
    return GraphRepository(make_client(get_settings().redis.connection(), Redis, decode_responses=True))


async def close_graph() -> None:
    """Close this event loop's client; the next `get_graph()` makes a new one."""
    graph = get_graph.take()
    if graph is not None:
        await close_client(graph.client)
