"""Where the nodes of a directed graph stand: layers from left to right, causes before effects, with few crossings.

After Sugiyama, Tagawa and Toda (1981): cycles are broken by turning the edges that close them, a node's layer is the
longest path that leads to it, edges over several layers get a bend in each, and each layer is ordered by the median of
its neighbours. No drawing here: numbers of nodes in, coordinates out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 24  # passes over the layers, to and fro

Link = tuple[int, int]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layout:
    """places: the point of each node: (layer, height), heights in units of one node's room, from 0 on.

    routes: the points that each edge passes, its ends included, from its cause to its effect.
    """

    places: tuple[Point, ...]
    routes: Mapping[Link, tuple[Point, ...]]


def arrange(nodes: int, links: Iterable[Link], *, bend_room: float = 0.45) -> Layout:
    """A layered layout. Self-relations and repeats are ignored; bend_room is the height an edge's bend takes.

    The same graph always gets the same layout. O(sweeps * (nodes + bends) log of them).

    >>> arrange(3, [(0, 1), (1, 2)]).places
    ((0.0, 0.0), (1.0, 0.0), (2.0, 0.0))
    """
    asked = list(dict.fromkeys((a, b) for a, b in links if a != b))
    forward = acyclic(nodes, asked)
    chains, layers = _with_bends(longest_path(nodes, forward), forward)
    above, below = _neighbours(chains.values())
    _order(layers, above, below)
    room = {point: 1.0 if point < nodes else bend_room for layer in layers for point in layer}
    heights = _heights(layers, above, below, room)
    column = {point: place for place, layer in enumerate(layers) for point in layer}
    at = {point: (float(column[point]), heights[point]) for point in room}
    routes = {}
    for a, b in asked:
        chain = chains[(a, b)] if (a, b) in chains else chains[(b, a)][::-1]
        routes[(a, b)] = tuple(at[point] for point in chain)
    return Layout(tuple(at[node] for node in range(nodes)), routes)


def acyclic(nodes: int, links: Sequence[Link]) -> list[Link]:
    """The links with those turned that close a cycle (Eades, Lin and Smyth 1993): nodes are laid in a row, sinks last,
    sources first, then the one with most effects more than causes; what points back is turned."""
    left = set(range(nodes))
    out = {node: {b for a, b in links if a == node} for node in left}
    into = {node: {a for a, b in links if b == node} for node in left}
    head: list[int] = []
    tail: list[int] = []
    while left:
        sinks = [node for node in sorted(left) if not out[node] & left]
        sources = [node for node in sorted(left) if not into[node] & left]
        if sinks:
            tail += sinks
            left -= set(sinks)
        elif sources:
            head += sources
            left -= set(sources)
        else:
            best = max(sorted(left), key=lambda node: len(out[node] & left) - len(into[node] & left))
            head.append(best)
            left.remove(best)
    place = {node: number for number, node in enumerate(head + tail[::-1])}
    return list(dict.fromkeys((a, b) if place[a] < place[b] else (b, a) for a, b in links))


def longest_path(nodes: int, links: Sequence[Link]) -> list[int]:
    """The layer of each node of an acyclic graph: links on the longest path to it. A node without causes stands just
    before the first of its effects."""
    causes: dict[int, list[int]] = {node: [] for node in range(nodes)}
    effects: dict[int, list[int]] = {node: [] for node in range(nodes)}
    for a, b in links:
        causes[b].append(a)
        effects[a].append(b)
    layer = [-1] * nodes
    waiting = [len(causes[node]) for node in range(nodes)]
    ready = [node for node in range(nodes) if not waiting[node]]
    for node in ready:  # grows as it is read
        layer[node] = max((layer[cause] + 1 for cause in causes[node]), default=0)
        for effect in effects[node]:
            waiting[effect] -= 1
            if not waiting[effect]:
                ready.append(effect)
    for node in range(nodes):
        if not causes[node] and effects[node]:
            layer[node] = min(layer[effect] for effect in effects[node]) - 1
    return layer


def _with_bends(layer: Sequence[int], links: Sequence[Link]) -> tuple[dict[Link, tuple[int, ...]], list[list[int]]]:
    """Each link as a chain of points, one a layer; and the points of each layer. Bends are numbered after the nodes."""
    layers: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    for node, place in enumerate(layer):
        layers[place].append(node)
    chains, number = {}, len(layer)
    for a, b in links:
        between = range(layer[a] + 1, layer[b])
        bends = tuple(range(number, number + len(between)))
        for bend, place in zip(bends, between, strict=True):
            layers[place].append(bend)
        number += len(bends)
        chains[(a, b)] = (a, *bends, b)
    return chains, layers


def _neighbours(chains: Iterable[Sequence[int]]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Of each point those in the layer before it, and in the layer after it."""
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for chain in chains:
        for a, b in pairwise(chain):
            above.setdefault(b, []).append(a)
            below.setdefault(a, []).append(b)
    return above, below


def _order(layers: list[list[int]], above: Mapping[int, list[int]], below: Mapping[int, list[int]]) -> None:
    """Order each layer by the mean place of its neighbours, sweeping to and fro; the best order seen stays."""
    best, fewest = [list(layer) for layer in layers], crossings(layers, below)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for number in range(1, len(layers)) if down else range(len(layers) - 2, -1, -1):
            fixed = {point: place for place, point in enumerate(layers[number - 1 if down else number + 1])}
            near = above if down else below
            where = {p: _mean([fixed[q] for q in near.get(p, ())], place) for place, p in enumerate(layers[number])}
            layers[number].sort(key=where.__getitem__)
        found = crossings(layers, below)
        if found < fewest:
            best, fewest = [list(layer) for layer in layers], found
    layers[:] = best


def crossings(layers: Sequence[Sequence[int]], below: Mapping[int, list[int]]) -> int:
    """How many pairs of edges between neighbouring layers cross: inversions of their ends."""
    total = 0
    for first, second in pairwise(layers):
        place = {point: number for number, point in enumerate(second)}
        ends = [end for point in first for end in sorted(place[q] for q in below.get(point, ()))]
        total += sum(a > b for number, b in enumerate(ends) for a in ends[:number])
    return total


def _heights(
    layers: Sequence[Sequence[int]],
    above: Mapping[int, list[int]],
    below: Mapping[int, list[int]],
    room: Mapping[int, float],
) -> dict[int, float]:
    """The height of each point: near the mean of its neighbours, in order and with room between."""
    height: dict[int, float] = {}
    for layer in layers:
        height |= _spread(layer, [float(place) for place in range(len(layer))], room)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            near = above if down else below
            height |= _spread(layer, [_mean([height[q] for q in near.get(p, ())], height[p]) for p in layer], room)
    return _without_gaps(height)


def _without_gaps(height: Mapping[int, float]) -> dict[int, float]:
    """Heights from 0 on, bands where nothing stands narrowed to one node's room."""
    closer: dict[int, float] = {}
    moved = before = 0.0
    for point in sorted(height, key=height.__getitem__):
        if not closer:
            moved = height[point]
        moved += max(0.0, height[point] - before - 1.0) if closer else 0.0
        before = height[point]
        closer[point] = height[point] - moved
    return closer


def _spread(layer: Sequence[int], wished: Sequence[float], room: Mapping[int, float]) -> dict[int, float]:
    """Heights as near to the wished ones as the order and the room of each point allow (isotonic least squares by
    pooling neighbours that would overlap)."""
    offsets = [0.0]
    for p, q in pairwise(layer):
        offsets.append(offsets[-1] + (room[p] + room[q]) / 2)
    blocks: list[tuple[float, int]] = []  # (mean of wish less offset, points)
    for wish, offset in zip(wished, offsets, strict=False):
        mean, count = wish - offset, 1
        while blocks and blocks[-1][0] > mean:
            before, points = blocks.pop()
            mean, count = (mean * count + before * points) / (count + points), count + points
        blocks.append((mean, count))
    levels = [mean for mean, count in blocks for _ in range(count)]
    return {point: level + offset for point, level, offset in zip(layer, levels, offsets, strict=False)}


def _mean(numbers: Sequence[float], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else float(otherwise)
