"""The causal graph as a picture: one self-contained SVG, causes left, effects right.

Fill is how far a node strayed, a line's width the strength of a relation, solid what the user gave and dashed what was
learned; a relation that there is only since the change is dotted, one that ended with it dash-dotted. The way from the
cause to the symptom is drawn strong and labelled. White ground, generic fonts; every node and line has a tooltip with
all that is known of it.
"""

from collections.abc import Iterable, Sequence
from html import escape

from detectors.findings import Holds
from stream.figure import TOLD_STATES, Figure, Link, Node
from stream.placement import LETTER, MARGIN, Box, Curve, Placement, flag_width, place

INK, FAINT, QUIET, PATH, WHITE = "#1f2430", "#5b6472", "#8a93a3", "#1d4ed8", "#ffffff"
FILLS = ((100.0, "#7f1d1d"), (30.0, "#c2410c"), (10.0, "#fb923c"), (0.0, "#fed7aa"))  # strayed by more than so much
DARK = ("#7f1d1d", "#c2410c")  # fills that need white letters
LEGEND_HEIGHT = 74.0
DASHES = "7 5"
STATES: dict[Holds, tuple[str, str]] = {  # colour, dashes
    "since_change": ("#b45309", "1.5 4"),
    "until_change": ("#be123c", "12 4 2 4"),
}


def draw(figure: Figure, *, title: str, subtitle: str) -> str:
    """The figure as an SVG document."""
    where = place(figure)
    right = max(where.right, MARGIN + _width_of(title, 17), MARGIN + _width_of(subtitle, 12))
    told = [state for state in STATES if any(link.edge.holds == state for link in figure.links)]
    width, height = right + MARGIN, where.bottom + LEGEND_HEIGHT + (22.0 if told else 0.0) + MARGIN
    size = f'width="{width:.0f}" height="{height:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" {size} '
        'font-family="sans-serif" role="img">',
        f"<title>{_safe(title)}</title>",
        _arrows(told),
        f'<rect {size} fill="{WHITE}"/>',
        _text(MARGIN, MARGIN + 14.0, title, size=17, weight="bold"),
        _text(MARGIN, MARGIN + 35.0, subtitle, fill=FAINT),
        *_links(figure.links, where),
        *(_node(node, where.boxes[number], where.is_roomy) for number, node in enumerate(figure.nodes)),
        *_labels(figure.links, where),
        *_legend(where.bottom + 34.0, figure.left, told),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _links(links: Sequence[Link], where: Placement) -> Iterable[str]:
    """Lines with arrows; the way on top of the others."""
    for number in sorted(range(len(links)), key=lambda number: links[number].is_path):
        link = links[number]
        colour, arrow, opacity = (PATH, "path", 1.0) if link.is_path else (QUIET, "quiet", 0.75)
        if link.edge.holds in STATES and not link.is_path:
            colour, arrow, opacity = STATES[link.edge.holds][0], link.edge.holds, 0.9
        dashes = f' stroke-dasharray="{drawn}"' if (drawn := _dashes(link)) else ""
        yield (
            f'<path d="{_curves(where.routes[number])}" fill="none" stroke="{colour}" '
            f'stroke-width="{_line_width(link):.1f}" stroke-opacity="{opacity}"{dashes} marker-end="url(#{arrow})">'
            f"<title>{_safe(link.told)}</title></path>"
        )


def _dashes(link: Link) -> str:
    """Of its line: by the state in which it holds, if not in both; else by its origin."""
    return STATES[link.edge.holds][1] if link.edge.holds in STATES else "" if link.is_given else DASHES


def _curves(curves: Sequence[Curve]) -> str:
    x, y = curves[0][0]
    steps = [f"M{x:.1f} {y:.1f}"]
    for (x0, y0), (x1, y1) in curves:
        middle = (x0 + x1) / 2
        steps.append(f"C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}")
    return "".join(steps)


def _line_width(link: Link) -> float:
    """By the weight; a given relation of which nothing was learned gets a plain line, and the way is never faint."""
    wide = 1.0 + 4.0 * min(1.0, abs(link.edge.weight)) if link.edge.rows else 1.5
    return max(wide, 2.5) if link.is_path else wide


def _node(node: Node, box: Box, is_roomy: bool) -> str:
    left, top, right, bottom = box
    fill = next((fill for least, fill in FILLS if node.deviation > least), WHITE)
    ink = WHITE if fill in DARK else INK
    stroke, line, weight = (PATH, 2.5, "bold") if node.role else (QUIET, 1.0, "normal")
    middle = (left + flag_width(node) + right) / 2
    name_at = top + 17.0 if is_roomy else (top + bottom) / 2 + 4.2
    parts = [
        f"<g><title>{_safe(f'{node.name}: {node.told}')}</title>",
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" rx="6" '
        f'fill="{fill}" stroke="{stroke}" stroke-width="{line}"/>',
        _flag(node, box) if node.flag else "",
        _text(middle, name_at, node.short, fill=ink, anchor="middle", weight=weight),
        _text(middle, top + 32.0, node.told, size=10, fill=ink, anchor="middle") if is_roomy else "",
    ]
    return "".join([*parts, "</g>"])


def _flag(node: Node, box: Box) -> str:
    """What the node is in the story, at its left end."""
    left, top, _, bottom = box
    right = left + flag_width(node)
    outline = f"M{right:.1f} {top:.1f}H{left + 6:.1f}q-6 0 -6 6V{bottom - 6:.1f}q0 6 6 6H{right:.1f}z"
    x, y = (left + right) / 2, (top + bottom) / 2 + 3.6
    word = _text(x, y, node.flag, size=10, fill=WHITE, anchor="middle", weight="bold")
    return f'<path d="{outline}" fill="{PATH}"/>{word}'


def _labels(links: Sequence[Link], where: Placement) -> Iterable[str]:
    for number, (left, _, right, bottom) in where.labels.items():
        fill = PATH if links[number].is_path else FAINT
        x, y = (left + right) / 2, bottom - 3.5
        yield _text(x, y, links[number].label, size=10, fill=fill, anchor="middle", halo=True)
    if where.alone_top is not None:
        yield _text(MARGIN, where.alone_top - 10.0, "moved, with no relation shown", size=11, fill=FAINT)


def _arrows(states: Sequence[Holds]) -> str:
    one = (
        '<marker id="{0}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="10" markerHeight="10" orient="auto" '
        'markerUnits="userSpaceOnUse"><path d="M0 0.8L10 5L0 9.2z" fill="{1}"/></marker>'
    )
    more = "".join(one.format(state, STATES[state][0]) for state in states)
    return f"<defs>{one.format('path', PATH)}{one.format('quiet', QUIET)}{more}</defs>"


def _legend(top: float, left: str, states: Sequence[Holds]) -> Iterable[str]:
    """What fills and lines mean, in two rows, or three; and what is not shown.
    states: those that lines are told apart by."""
    x = MARGIN
    words = ("did not move", "strayed by up to 10", "30", "100", "more")
    for fill, word in zip((WHITE, *(fill for _, fill in reversed(FILLS))), words, strict=True):
        yield f'<rect x="{x:.1f}" y="{top - 11:.1f}" width="18" height="14" rx="3" fill="{fill}" stroke="{QUIET}"/>'
        yield _text(x + 24.0, top, word, size=11)
        x += 42.0 + len(word) * 6.4
    yield _text(x, top, "times its usual spread", size=11, fill=FAINT)
    strokes = (
        (QUIET, 2.0, "none", "given"),
        (QUIET, 2.0, DASHES, "learned, its direction may be wrong"),
        (PATH, 3.0, "none", "the way from the cause to the symptom"),
        (QUIET, 1.2, "none", "weak"),
        (QUIET, 5.0, "none", "strong"),
    )
    yield from _strokes(top + 24.0, strokes)
    yield from _strokes(top + 46.0, [(STATES[s][0], 2.0, STATES[s][1], TOLD_STATES[s]) for s in states])
    if left:
        yield _text(MARGIN, top + (72.0 if states else 50.0), left, size=11, fill=FAINT)


def _strokes(level: float, strokes: Iterable[tuple[str, float, str, str]]) -> Iterable[str]:
    """Lines beside what they mean, in a row: colour, width, dashes, word of each."""
    x = MARGIN
    for colour, width, dashes, word in strokes:
        ends = f'x1="{x:.1f}" x2="{x + 34:.1f}" y1="{level:.1f}" y2="{level:.1f}"'
        yield f'<line {ends} stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dashes}"/>'
        yield _text(x + 40.0, level + 4.0, word, size=11)
        x += 58.0 + len(word) * 6.4


def _width_of(text: str, size: float) -> float:
    return len(text) * LETTER * size / 12


def _safe(text: str) -> str:
    """Text that XML can hold.

    >>> _safe('a<b>&"\\x00')
    'a&lt;b&gt;&amp;&quot;'
    """
    return escape("".join(letter for letter in text if letter.isprintable()))


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
    ground = f' stroke="{WHITE}" stroke-width="4" paint-order="stroke" stroke-linejoin="round"' if halo else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{fill}" text-anchor="{anchor}" '
        f'font-weight="{weight}"{ground}>{_safe(text)}</text>'
    )
