"""What the picture of a causal graph shows: which nodes and links, at which level, and what each of them tells.

Few variables are shown as they are; from WIDE on, the entities they belong to. What is left out is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from detectors.causes.graph import entity_of, members
from detectors.findings import Edge, Explanation, Holds, Onset
from stream.console import count, number

WIDE = 16  # more variables than this are shown by their entities
MOST_NODES = 60
LONGEST_NAME = 30  # letters
LINKS_A_NODE = 1.2  # up to so many are shown; given relations always

TOLD_STATES: dict[Holds, str] = {
    "both": "holds before and after",
    "since_change": "only since the change",
    "until_change": "ended with the change",
}
Role = Literal["cause", "guess", "symptom", "path", ""]


@dataclass(frozen=True, slots=True)
class Node:
    """deviation: how far it strayed, 0 if it did not move.  rows: when it began, None if it did not."""

    name: str
    deviation: float
    rows: int | None
    role: Role

    @property
    def short(self) -> str:
        """Its name, a long one without its middle.

        >>> Node("service-of-some-length.with_a_long_metric", 0.0, None, "").short
        'service-of-so…th_a_long_metric'
        """
        return self.name if len(self.name) <= LONGEST_NAME else f"{self.name[:13]}…{self.name[-16:]}"

    @property
    def told(self) -> str:
        """How far and when it moved.

        >>> [Node("db", 41.2, rows, "cause").told for rows in (-1, 0, 3, None)]
        ['strayed 41.2, 1 row before', 'strayed 41.2 at once', 'strayed 41.2 after 3 rows', 'did not move']
        """
        if self.rows is None:
            return "did not move"
        far, late = f"strayed {number(self.deviation)}", count(abs(self.rows), "row")
        if self.rows == 0:
            return f"{far} at once"
        return f"{far} after {late}" if self.rows > 0 else f"{far}, {late} before"

    @property
    def flag(self) -> str:
        """What it is in the story, if a reader must find it at once."""
        return {"guess": "best guess", "path": ""}.get(self.role, self.role)


@dataclass(frozen=True, slots=True)
class Link:
    """A relation between two nodes, by their numbers. edge: the one that is shown of so many relations."""

    cause: int
    effect: int
    edge: Edge
    is_given: bool
    relations: int
    is_path: bool

    @property
    def told(self) -> str:
        """All that is known of it."""
        edge = self.edge
        origin = "given" if self.is_given else "learned"
        state = f", {TOLD_STATES[edge.holds]}" if edge.holds else ""
        learned = f"learned from {count(edge.rows, 'row')}" if edge.rows else "nothing learned"
        more = f"; one of {self.relations} relations" if self.relations > 1 else ""
        lag, weight = count(edge.lag, "row"), number(edge.weight)
        return f"{edge.cause} → {edge.effect}: {origin}, lag {lag}, weight {weight}, {learned}{state}{more}"

    @property
    def label(self) -> str:
        """Lag and weight, in few characters; nothing where nothing was learned."""
        return f"lag {self.edge.lag}, {number(self.edge.weight, 2)}" if self.edge.rows else ""


@dataclass(frozen=True, slots=True)
class Figure:
    """noun: what a node is.  nodes_left, links_left: how many are not shown."""

    noun: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    nodes_left: int
    links_left: int

    @property
    def left(self) -> str:
        """What is not shown."""
        plural = {"entity": "entities", "variable": "variables"}[self.noun]
        kinds = ((self.nodes_left, self.noun, plural), (self.links_left, "weaker relation", "weaker relations"))
        return "; ".join(f"{count(many, noun, nouns)} not shown" for many, noun, nouns in kinds if many)


def figure_of(story: Explanation, variables: Sequence[str]) -> Figure:
    """Choose what to show of an explanation of a system with these variables."""
    entities = list(members(variables))
    by_entity = len(variables) > WIDE and len(entities) < len(variables)
    names = entities if by_entity else list(variables)
    level = {name: entity_of(name) if by_entity else name for name in variables}
    way = {(level[edge.cause], level[edge.effect]): edge for edge in story.path}
    path = [(a, b) for a, b in way if a != b]
    links = _strongest(story.ranking.edges, level)
    nodes = _nodes(story, names, level, path)
    shown = _shown_links(links, path, nodes, round(LINKS_A_NODE * min(len(names), MOST_NODES)))
    chosen = _shown_nodes(nodes, shown)
    number = {name: place for place, name in enumerate(chosen)}
    kept = [pair for pair in shown if pair[0] in number and pair[1] in number]
    return Figure(
        noun="entity" if by_entity else "variable",
        nodes=tuple(nodes[name] for name in chosen),
        links=tuple(_link(pair, links[pair], number, way.get(pair)) for pair in kept),
        nodes_left=len(names) - len(chosen),
        links_left=len(links) - len(kept),
    )


def _strongest(edges: Sequence[Edge], level: dict[str, str]) -> dict[tuple[str, str], list[Edge]]:
    """(cause, effect) at the level shown -> its edges, strongest first, the strongest pair first."""
    found: dict[tuple[str, str], list[Edge]] = {}
    for edge in edges:  # strongest first already
        pair = level[edge.cause], level[edge.effect]
        if pair[0] != pair[1]:
            found.setdefault(pair, []).append(edge)
    return found


def _shown_links(
    links: dict[tuple[str, str], list[Edge]], path: Sequence[tuple[str, str]], nodes: dict[str, Node], most: int
) -> list[tuple[str, str]]:
    """The path, the given relations, and learned ones that do not say the opposite of what is shown already: those
    since the change first, then between nodes that moved, the strongest first."""
    given = [pair for pair, edges in links.items() if _is_given(edges)]
    shown = dict.fromkeys([*path, *given])
    for pair in sorted(links, key=lambda pair: (not _is_new(links[pair]), sum(nodes[n].rows is None for n in pair))):
        if len(shown) < most and pair[::-1] not in shown:
            shown[pair] = None
    return list(shown)


def _is_new(edges: Sequence[Edge]) -> bool:
    return any(edge.holds == "since_change" for edge in edges)


def _is_given(edges: Sequence[Edge]) -> bool:
    return any(edge.origin == "given" for edge in edges)


def _nodes(
    story: Explanation, names: Sequence[str], level: dict[str, str], path: Sequence[tuple[str, str]]
) -> dict[str, Node]:
    """Every node by its name, with what the variable of it did that strayed furthest."""
    moved: dict[str, Onset] = {}
    for onset in story.onsets:
        name = level[onset.variable]
        if name not in moved or onset.deviation > moved[name].deviation:
            moved[name] = onset
    roles = _roles(story, level, path)
    still = [Node(name, 0.0, None, roles.get(name, "")) for name in names if name not in moved]
    found = [Node(name, onset.deviation, onset.rows, roles.get(name, "")) for name, onset in moved.items()]
    by_name = {node.name: node for node in (*still, *found)}
    return {name: by_name[name] for name in names}


def _roles(story: Explanation, level: dict[str, str], path: Sequence[tuple[str, str]]) -> dict[str, Role]:
    roles: dict[str, Role] = {name: "path" for pair in path for name in pair}
    if path:
        roles[path[-1][1]] = "symptom"
    if story.ranking.causes:
        is_unknown = story.ranking.answer != story.ranking.causes[0].entity
        roles[level[story.ranking.causes[0].variable]] = "guess" if is_unknown else "cause"
    return roles


def _shown_nodes(nodes: dict[str, Node], links: Sequence[tuple[str, str]]) -> list[str]:
    """Those of the story, those that moved furthest, those with links; in the order of the input."""
    linked = {name for pair in links for name in pair}
    wanted = [name for name, node in nodes.items() if node.role or node.deviation or name in linked]
    best = sorted(wanted, key=lambda name: (not nodes[name].role, -nodes[name].deviation, name not in linked))
    kept = set(best[:MOST_NODES])
    return [name for name in nodes if name in kept]


def _link(pair: tuple[str, str], edges: Sequence[Edge], number: dict[str, int], step: Edge | None) -> Link:
    """The strongest of the edges stands for all; on the way it is the one that the way takes."""
    shown = edges[0] if step is None else step
    return Link(number[pair[0]], number[pair[1]], shown, _is_given(edges), len(edges), step is not None)
