"""The causal graph as a picture: one self-contained SVG, causes left, effects right.

Fill is how far a node strayed, a line's width the strength of a relation, solid what the user gave and dashed what was
learned. The way from the cause to the symptom is drawn strong and labelled. White ground, generic fonts; every node and
line has a tooltip with all that is known of it.
"""

from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise

from stream.console import count, number
from stream.figure import Figure, Link, Node
from stream.layout import Layout, arrange

INK, QUIET, PATH = "#1f2430", "#8a93a3", "#1d4ed8"
FILLS = ((100.0, "#7f1d1d"), (30.0, "#c2410c"), (10.0, "#fb923c"), (0.0, "#fed7aa"))  # strayed by at least so much
UNMOVED = "#ffffff"
MARGIN, TITLE_HEIGHT, LEGEND_HEIGHT = 28.0, 66.0, 74.0
NARROWEST = 880.0  # what the legend takes
LETTER = 7.1  # of 12 px sans-serif, on average and with some reserve
LONGEST_NAME = 30
STEEP = 30.0  # of a curve: it rises or falls by more
ROOMY = 24  # nodes: up to so many get a second line, and every lag a label

Box = tuple[float, float, float, float]  # left, top, right, bottom
Curve = tuple[tuple[float, float], tuple[float, float]]  # from, to: horizontal at both ends


def draw(figure: Figure, *, title: str, subtitle: str) -> str:
    """The figure as an SVG document."""
    return _Canvas(figure).document(title, subtitle)


class _Canvas:
    def __init__(self, figure: Figure) -> None:
        self._figure = figure
        self._is_roomy = len(figure.nodes) <= ROOMY
        self._height = 40.0 if self._is_roomy else 24.0  # of a node
        self._row = self._height + (26.0 if self._is_roomy else 9.0)
        self._widths = [self._width(node) for node in figure.nodes]
        linked = sorted({end for link in figure.links for end in (link.cause, link.effect)})
        self._alone = [n for n in range(len(figure.nodes)) if n not in set(linked)]
        place = {node: order for order, node in enumerate(linked)}
        self._linked = linked
        self._layout = arrange(len(linked), [(place[link.cause], place[link.effect]) for link in figure.links])
        self._columns = self._column_edges(self._layout)
        self._boxes = self._node_boxes()
        self._routes = {
            link: self._route(self._layout.routes[(place[link.cause], place[link.effect])], link)
            for link in figure.links
        }

    def _width(self, node: Node) -> float:
        letters = max(len(_short(node.name)), len(_told(node)) * 0.85 if self._is_roomy else 0)
        return letters * LETTER + 22.0 + _flag_width(node)

    def _column_edges(self, layout: Layout) -> list[tuple[float, float]]:
        """Left and right of each layer."""
        gap = 104.0 if self._is_roomy else 64.0
        layers: dict[int, float] = {}
        for node, (layer, _) in zip(self._linked, layout.places, strict=True):
            layers[int(layer)] = max(layers.get(int(layer), 60.0), self._widths[node])
        edges, left = [], MARGIN
        for layer in range(len(layers)):
            edges.append((left, left + layers[layer]))
            left += layers[layer] + gap
        return edges

    def _node_boxes(self) -> dict[int, Box]:
        """Where each node stands; those without links in rows below the graph."""
        boxes: dict[int, Box] = {}
        for node, (layer, height) in zip(self._linked, self._layout.places, strict=True):
            left, right = self._columns[int(layer)]
            middle, top = (left + right) / 2, self._top(height)
            half = self._widths[node] / 2
            boxes[node] = (middle - half, top, middle + half, top + self._height)
        lowest = max((box[3] for box in boxes.values()), default=MARGIN + TITLE_HEIGHT - 34.0)
        bends = [self._top(y) + self._height for route in self._layout.routes.values() for _, y in route]
        self._graph_bottom = max([lowest, *bends])
        return boxes | self._grid(self._graph_bottom + 40.0)

    def _grid(self, top: float) -> dict[int, Box]:
        right = max([edge[1] for edge in self._columns] + [NARROWEST])
        boxes: dict[int, Box] = {}
        left = MARGIN
        for node in self._alone:
            if left > MARGIN and left + self._widths[node] > right:
                left, top = MARGIN, top + self._height + 10.0
            boxes[node] = (left, top, left + self._widths[node], top + self._height)
            left += self._widths[node] + 12.0
        return boxes

    def _top(self, height: float) -> float:
        return MARGIN + TITLE_HEIGHT + height * self._row

    def _route(self, points: Sequence[tuple[float, float]], link: Link) -> list[Curve]:
        """The curves of a link, from the cause's side to the effect's; straight across the columns it passes."""
        cause, effect = self._boxes[link.cause], self._boxes[link.effect]
        is_forward = points[0][0] < points[-1][0]
        start, end = (cause[2], effect[0]) if is_forward else (cause[0], effect[2])
        stops = [(start, (cause[1] + cause[3]) / 2)]
        for layer, height in points[1:-1]:
            middle = self._top(height) + self._height / 2
            left, right = self._columns[int(layer)]
            stops += [(left, middle), (right, middle)] if is_forward else [(right, middle), (left, middle)]
        stops.append((end, (effect[1] + effect[3]) / 2))
        return list(pairwise(stops))

    def document(self, title: str, subtitle: str) -> str:
        right = max(
            [box[2] for box in self._boxes.values()]
            + [NARROWEST - MARGIN, _text_width(title, 17), _text_width(subtitle, 12)]
        )
        bottom = max([box[3] for box in self._boxes.values()] + [self._graph_bottom])
        width, height = right + MARGIN, bottom + LEGEND_HEIGHT + MARGIN
        body = [
            *self._links(),
            *(self._node(place, node) for place, node in enumerate(self._figure.nodes)),
            *self._labels(),
        ]
        if self._alone and self._linked:
            body.append(
                _text(MARGIN, self._graph_bottom + 30.0, "moved, with no relation shown", size=11, fill="#5b6472")
            )
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" font-family="sans-serif" role="img">',
            f"<title>{escape(title)}</title>",
            _arrows(),
            f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
            _text(MARGIN, MARGIN + 14.0, title, size=17, weight="bold"),
            _text(MARGIN, MARGIN + 35.0, subtitle, size=12, fill="#5b6472"),
            *body,
            *_legend(bottom + 34.0, self._figure),
            "</svg>",
        ]
        return "\n".join(lines) + "\n"

    def _links(self) -> Iterable[str]:
        for link in sorted(self._figure.links, key=lambda link: link.is_path):
            colour = PATH if link.is_path else QUIET
            dash = "" if link.is_given else ' stroke-dasharray="7 5"'
            arrow = "path" if link.is_path else "quiet"
            yield (
                f'<path d="{_curves(self._routes[link])}" fill="none" stroke="{colour}" '
                f'stroke-width="{_line_width(link):.1f}" stroke-opacity="{1 if link.is_path else 0.75}"'
                f'{dash} marker-end="url(#{arrow})"><title>{escape(self._about(link))}</title></path>'
            )

    def _about(self, link: Link) -> str:
        edge = link.edge
        learned = f"learned from {count(edge.rows, 'row')}" if edge.rows else "nothing learned"
        more = f"; the strongest of {link.relations} relations" if link.relations > 1 else ""
        return (
            f"{edge.cause} → {edge.effect}: {'given' if link.is_given else 'learned'}, lag {count(edge.lag, 'row')}, "
            f"weight {number(edge.weight)}, {learned}{more}"
        )

    def _node(self, place: int, node: Node) -> str:
        left, top, right, bottom = self._boxes[place]
        fill, flag = _fill(node), _flag_width(node)
        ink = "#ffffff" if fill in (FILLS[0][1], FILLS[1][1]) else INK
        stroke, line = (PATH, 2.5) if node.role else (QUIET, 1.0)
        middle = (left + flag + right) / 2
        name_at = top + (17.0 if self._is_roomy else self._height / 2 + 4.2)
        weight = "bold" if node.role else "normal"
        parts = [
            f"<g><title>{escape(f'{node.name}: {_told(node)}')}</title>",
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" rx="6" '
            f'fill="{fill}" stroke="{stroke}" stroke-width="{line}"/>',
            _flag(self._boxes[place], node),
            _text(middle, name_at, _short(node.name), fill=ink, anchor="middle", weight=weight),
        ]
        if self._is_roomy:
            parts.append(_text(middle, top + 32.0, _told(node), size=10, fill=ink, anchor="middle"))
        return "".join([*parts, "</g>"])

    def _labels(self) -> Iterable[str]:
        """Lag and weight on the path, lags on the others where there is room; none on top of another or of a node."""
        taken = [*self._boxes.values()]
        for link in sorted(self._figure.links, key=lambda link: (not link.is_path, -abs(link.edge.weight))):
            text = f"lag {link.edge.lag}, {number(link.edge.weight, 2)}"
            is_wanted = link.is_path or (self._is_roomy and link.edge.lag)
            spot = _free_spot(self._routes[link], len(text) * 6.2, taken) if is_wanted and link.edge.rows else None
            if spot is not None:
                taken.append(spot)
                middle = (spot[0] + spot[2]) / 2
                yield _text(
                    middle,
                    spot[3] - 3.5,
                    text,
                    size=10,
                    fill=PATH if link.is_path else "#5b6472",
                    anchor="middle",
                    halo=True,
                )


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


def _on(curve: Curve, share: float) -> tuple[float, float]:
    """The point at that share of a Bézier curve with both controls half way between its ends' x."""
    (x0, y0), (x1, y1) = curve
    eased = 3 * share**2 - 2 * share**3
    middle = (x0 + x1) / 2
    x = (1 - share) ** 3 * x0 + 3 * share * (1 - share) * middle + share**3 * x1
    return x, y0 + eased * (y1 - y0)


def _curves(curves: Sequence[Curve]) -> str:
    (x, y), _ = curves[0]
    steps = [f"M{x:.1f} {y:.1f}"]
    for (x0, y0), (x1, y1) in curves:
        middle = (x0 + x1) / 2
        steps.append(f"C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}")
    return "".join(steps)


def _line_width(link: Link) -> float:
    """By the weight; a given relation of which nothing was learned gets a plain line, and the way is never faint."""
    wide = 1.0 + 4.0 * min(1.0, abs(link.edge.weight)) if link.edge.rows else 1.5
    return max(wide, 2.5) if link.is_path else wide


def _fill(node: Node) -> str:
    return next((fill for least, fill in FILLS if node.deviation > least), UNMOVED)


def _told(node: Node) -> str:
    """How far and when a node moved.

    >>> [_told(Node("db", 41.2, rows, "cause")) for rows in (-1, 0, 3)]
    ['strayed 41.2, 1 row before', 'strayed 41.2 at once', 'strayed 41.2 after 3 rows']
    >>> _told(Node("web", 0.0, None, ""))
    'did not move'
    """
    if node.rows is None:
        return "did not move"
    far = f"strayed {number(node.deviation)}"
    if node.rows == 0:
        return f"{far} at once"
    late = count(abs(node.rows), "row")
    return f"{far} after {late}" if node.rows > 0 else f"{far}, {late} before"


def _short(name: str) -> str:
    """A long name without its middle.

    >>> _short("a" * 30), _short("service-of-some-length.with_a_long_metric")
    ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'service-of-so…th_a_long_metric')
    """
    return name if len(name) <= LONGEST_NAME else f"{name[:13]}…{name[-16:]}"


def _text_width(text: str, size: float) -> float:
    return MARGIN + len(text) * LETTER * size / 12


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: float = 12,
    fill: str = INK,
    anchor: str = "start",
    weight: str = "normal",
    halo: bool = False,
) -> str:
    ground = ' stroke="#ffffff" stroke-width="4" paint-order="stroke" stroke-linejoin="round"' if halo else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{fill}" text-anchor="{anchor}" '
        f'font-weight="{weight}"{ground}>{escape(text)}</text>'
    )


def _flag_width(node: Node) -> float:
    return 0.0 if node.role in ("", "path") else len(_flag_word(node)) * 6.6 + 16.0


def _flag_word(node: Node) -> str:
    return "best guess" if node.role == "guess" else node.role


def _flag(box: Box, node: Node) -> str:
    """What the node is in the story, at its left end."""
    width = _flag_width(node)
    if not width:
        return ""
    left, top, _, bottom = box
    outline = f"M{left + width:.1f} {top:.1f}H{left + 6:.1f}q-6 0 -6 6V{bottom - 6:.1f}q0 6 6 6H{left + width:.1f}z"
    ground = f'<path d="{outline}" fill="{PATH}"/>'
    middle = left + width / 2
    return ground + _text(
        middle, (top + bottom) / 2 + 3.6, _flag_word(node), size=10, fill="#ffffff", anchor="middle", weight="bold"
    )


def _arrows() -> str:
    one = (
        '<marker id="{0}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="10" markerHeight="10" orient="auto" '
        'markerUnits="userSpaceOnUse"><path d="M0 0.8L10 5L0 9.2z" fill="{1}"/></marker>'
    )
    return f"<defs>{one.format('path', PATH)}{one.format('quiet', QUIET)}</defs>"


def _legend(top: float, figure: Figure) -> Iterable[str]:
    """What fills and lines mean, in two rows."""
    x = MARGIN
    for fill, word in (
        (UNMOVED, "did not move"),
        *zip((f for _, f in reversed(FILLS)), ("strayed by up to 10", "30", "100", "more"), strict=True),
    ):
        yield f'<rect x="{x:.1f}" y="{top - 11:.1f}" width="18" height="14" rx="3" fill="{fill}" stroke="{QUIET}"/>'
        yield _text(x + 24.0, top, word, size=11)
        x += 24.0 + len(word) * 6.4 + 18.0
    yield _text(x, top, "times its usual spread", size=11, fill="#5b6472")
    x = MARGIN
    lines = (
        (QUIET, 2.0, "", "given"),
        (QUIET, 2.0, "7 5", "learned, its direction may be wrong"),
        (PATH, 3.0, "", "the way from the cause to the symptom"),
        (QUIET, 1.2, "", "weak"),
        (QUIET, 5.0, "", "strong"),
    )
    for colour, width, dash, word in lines:
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        yield (
            f'<line x1="{x:.1f}" x2="{x + 34:.1f}" y1="{top + 24:.1f}" y2="{top + 24:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"{dashes}/>'
        )
        yield _text(x + 40.0, top + 28.0, word, size=11)
        x += 40.0 + len(word) * 6.4 + 18.0
    left = [f"{count(n, noun, plural)} not shown" for n, noun, plural in _left(figure) if n]
    if left:
        yield _text(MARGIN, top + 50.0, "; ".join(left), size=11, fill="#5b6472")


def _left(figure: Figure) -> tuple[tuple[int, str, str], ...]:
    plural = {"entity": "entities", "variable": "variables"}[figure.noun]
    return (figure.nodes_left, figure.noun, plural), (figure.links_left, "weaker relation", "weaker relations")
