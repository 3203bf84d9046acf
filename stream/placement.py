"""Where everything of a causal graph's picture stands, in pixels: boxes of nodes, curves of links, places of labels.

Few nodes get two lines each and a label on every lag; many get one line and labels on the way only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from stream.figure import Figure, Link, Node
from stream.layout import Layout, Point, arrange

MARGIN, TITLE_HEIGHT = 28.0, 66.0
NARROWEST = 880.0  # what the legend takes
LETTER = 7.1  # of 12 px sans-serif, on average and with some reserve
ROOMY = 24  # nodes
STEEP = 30.0  # of a curve: it rises or falls by more
UNDER = 40.0  # from the graph down to the nodes that have no relations

Box = tuple[float, float, float, float]  # left, top, right, bottom
Curve = tuple[Point, Point]  # from, to: horizontal at both ends


@dataclass(frozen=True, slots=True)
class Placement:
    """boxes: of the nodes, by number.  routes: the curves of the links, by number.  labels: link -> box of its text.

    alone_top: of the nodes without relations, None if there are none.  right, bottom: of all this.
    """

    is_roomy: bool
    boxes: Mapping[int, Box]
    routes: Sequence[Sequence[Curve]]
    labels: Mapping[int, Box]
    alone_top: float | None
    right: float
    bottom: float


def place(figure: Figure) -> Placement:
    """Give everything in the figure its place."""
    is_roomy = len(figure.nodes) <= ROOMY
    grid = _Grid(figure, is_roomy)
    routes = [grid.route(number, link) for number, link in enumerate(figure.links)]
    boxes = grid.boxes | grid.alone
    labels = _labels(figure.links, routes, list(boxes.values()), only_path=not is_roomy)
    return Placement(
        is_roomy,
        boxes,
        routes,
        labels,
        grid.bottom + UNDER if grid.alone and grid.boxes else None,
        right=max([box[2] for box in boxes.values()] + [NARROWEST - MARGIN]),
        bottom=max([box[3] for box in boxes.values()] + [grid.bottom]),
    )


class _Grid:
    """The layers of the layout as columns of pixels."""

    def __init__(self, figure: Figure, is_roomy: bool) -> None:
        self._height = 40.0 if is_roomy else 24.0  # of a node
        self._row = self._height + (26.0 if is_roomy else 9.0)
        widths = [node_width(node, is_roomy) for node in figure.nodes]
        linked = sorted({end for link in figure.links for end in (link.cause, link.effect)})
        order = {node: number for number, node in enumerate(linked)}
        self._links = [(order[link.cause], order[link.effect]) for link in figure.links]
        self._layout = arrange(len(linked), self._links)
        self._columns = _columns(self._layout, [widths[node] for node in linked], gap=104.0 if is_roomy else 64.0)
        self.boxes = {node: self._box(self._layout.places[order[node]], widths[node]) for node in linked}
        heights = [height for route in self._layout.routes.values() for _, height in route]
        self.bottom = self._top(max(heights)) + self._height if heights else MARGIN + TITLE_HEIGHT - UNDER
        self.alone = self._rows([node for node in range(len(widths)) if node not in order], widths)

    def _box(self, spot: Point, width: float) -> Box:
        left, right = self._columns[int(spot[0])]
        middle, top = (left + right) / 2, self._top(spot[1])
        return (middle - width / 2, top, middle + width / 2, top + self._height)

    def _top(self, height: float) -> float:
        return MARGIN + TITLE_HEIGHT + height * self._row

    def _rows(self, nodes: Sequence[int], widths: Sequence[float]) -> dict[int, Box]:
        """Boxes of nodes without relations, in rows below the graph."""
        right = max([edge for _, edge in self._columns] + [NARROWEST - MARGIN])
        left, top = MARGIN, self.bottom + UNDER
        boxes: dict[int, Box] = {}
        for node in nodes:
            if left > MARGIN and left + widths[node] > right:
                left, top = MARGIN, top + self._height + 10.0
            boxes[node] = (left, top, left + widths[node], top + self._height)
            left += widths[node] + 12.0
        return boxes

    def route(self, number: int, link: Link) -> list[Curve]:
        """The curves of a link, from the cause's side to the effect's; straight across the columns it passes."""
        points = self._layout.routes[self._links[number]]
        cause, effect = self.boxes[link.cause], self.boxes[link.effect]
        is_forward = points[0][0] < points[-1][0]
        start, end = (cause[2], effect[0]) if is_forward else (cause[0], effect[2])
        stops = [(start, (cause[1] + cause[3]) / 2)]
        for layer, height in points[1:-1]:
            middle = self._top(height) + self._height / 2
            left, right = self._columns[int(layer)]
            stops += [(left, middle), (right, middle)] if is_forward else [(right, middle), (left, middle)]
        stops.append((end, (effect[1] + effect[3]) / 2))
        return list(pairwise(stops))


def node_width(node: Node, is_roomy: bool) -> float:
    letters = max(len(node.short), len(node.told) * 0.85 if is_roomy else 0.0)
    return letters * LETTER + 22.0 + flag_width(node)


def flag_width(node: Node) -> float:
    return len(node.flag) * 6.6 + 16.0 if node.flag else 0.0


def _columns(layout: Layout, widths: Sequence[float], *, gap: float) -> list[tuple[float, float]]:
    """Left and right of each layer: as wide as its widest node."""
    wide: dict[int, float] = {}
    for width, (layer, _) in zip(widths, layout.places, strict=True):
        wide[int(layer)] = max(wide.get(int(layer), 60.0), width)
    columns, left = [], MARGIN
    for layer in range(len(wide)):
        columns.append((left, left + wide[layer]))
        left += wide[layer] + gap
    return columns


def _labels(
    links: Sequence[Link], routes: Sequence[Sequence[Curve]], taken: list[Box], *, only_path: bool
) -> dict[int, Box]:
    """Places of the labels, the way's first: none on top of another or of a node. Lags of 0 only on the way."""
    found: dict[int, Box] = {}
    for number in sorted(range(len(links)), key=lambda n: (not links[n].is_path, -abs(links[n].edge.weight))):
        link = links[number]
        is_wanted = link.is_path or (link.edge.lag > 0 and not only_path)
        spot = _free_spot(routes[number], len(link.label) * 6.2, taken) if is_wanted and link.label else None
        if spot is not None:
            found[number] = spot
            taken.append(spot)
    return found


def _free_spot(curves: Sequence[Curve], width: float, taken: Sequence[Box]) -> Box | None:
    """Where a label of that width may stand: over a flat link, to the right of a steep one."""
    for curve in curves:
        is_steep = abs(curve[1][1] - curve[0][1]) > STEEP
        for share in (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8):
            x, y = _on(curve, share)
            left, top = (x + 5.0, y - 7.0) if is_steep else (x - width / 2, y - 18.0)
            box = (left, top, left + width, top + 14.0)
            if not any(_overlap(box, other) for other in taken):
                return box
    return None


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _on(curve: Curve, share: float) -> Point:
    """The point at that share of a Bézier curve with both controls half way between its ends' x."""
    (x0, y0), (x1, y1) = curve
    middle = (x0 + x1) / 2
    x = (1 - share) ** 3 * x0 + 3 * share * (1 - share) * middle + share**3 * x1
    return x, y0 + (3 * share**2 - 2 * share**3) * (y1 - y0)
