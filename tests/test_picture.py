"""The picture of a causal graph: a layered layout that keeps its promises, and an SVG that says what was found."""

from itertools import combinations, pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from detectors.findings import Cause, Edge, Explanation, Onset, Ranking
from stream.figure import MOST_NODES, Figure, figure_of
from stream.layout import acyclic, arrange, crossings, longest_path
from stream.picture import draw

SVG = "{http://www.w3.org/2000/svg}"


def random_links(nodes: int, count: int, seed: int) -> list[tuple[int, int]]:
    pairs = np.random.default_rng(seed).integers(0, nodes, size=(count, 2))
    return [(int(a), int(b)) for a, b in pairs]


def edge(
    cause: str, effect: str, *, weight: float = 0.5, origin: str = "learned", lag: int = 1, holds: str = ""
) -> Edge:
    return Edge(cause, effect, lag, weight, origin, 600, holds)


def explanation(
    edges: list[Edge], *, moved: dict[str, float], cause: str, path: list[Edge] | None = None, answer: str | None = None
) -> Explanation:
    causes = tuple(Cause(name.rpartition(".")[0] or name, name, 1.0, 1.0, {}) for name in [cause, *moved])
    named = causes[0].entity if answer is None else answer
    ranking = Ranking(0, "trigger", 0, 9, 0, causes, causes, tuple(edges), True, True, 0.7, named)
    onsets = tuple(Onset(name, 0, row, far, 9.0, 1.0, 0.0, 2.0) for row, (name, far) in enumerate(moved.items()))
    return Explanation(ranking, onsets, tuple(path or ()))


def boxes(picture: str) -> dict[str, tuple[float, float, float, float]]:
    """Node -> left, top, right, bottom, as drawn."""
    found = {}
    for group in ElementTree.fromstring(picture).iter(f"{SVG}g"):
        name = group.findtext(f"{SVG}title", "").partition(": ")[0]
        rect = group.find(f"{SVG}rect")
        x, y, width, height = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        found[name] = x, y, x + width, y + height
    return found


def test_causes_stand_before_their_effects() -> None:
    layout = arrange(5, [(0, 1), (1, 2), (0, 2), (3, 2), (2, 4)])
    layer = [place[0] for place in layout.places]
    assert layer == [0.0, 1.0, 2.0, 1.0, 3.0]  # 3 has no cause: it stands just before its effect
    assert layout.routes[(0, 2)][0] == layout.places[0]
    assert layout.routes[(0, 2)][-1] == layout.places[2]
    assert len(layout.routes[(0, 2)]) == 3  # a bend in the layer between


@pytest.mark.parametrize("seed", range(8))
def test_any_graph_is_laid_out_without_overlap(seed: int) -> None:
    nodes, links = 30, random_links(30, 50, seed)
    layout = arrange(nodes, links)
    assert set(layout.routes) == {(a, b) for a, b in links if a != b}
    by_layer: dict[float, list[float]] = {}
    for layer, height in layout.places:
        by_layer.setdefault(layer, []).append(height)
    for heights in by_layer.values():
        assert all(b - a >= 1.0 - 1e-9 for a, b in pairwise(sorted(heights)))
    for route in layout.routes.values():
        assert all(abs(b[0] - a[0]) == 1.0 for a, b in pairwise(route))
    assert arrange(nodes, links) == layout


@pytest.mark.parametrize("seed", range(8))
def test_turned_links_leave_no_cycle_and_few_are_turned(seed: int) -> None:
    links = list(dict.fromkeys((a, b) for a, b in random_links(20, 40, seed) if a != b))
    forward = acyclic(20, links)
    layer = longest_path(20, forward)
    assert all(layer[a] < layer[b] for a, b in forward)
    assert {frozenset(link) for link in forward} == {frozenset(link) for link in links}
    assert sum(link not in links for link in forward) <= len(links) / 2
    assert acyclic(20, forward) == forward  # what has no cycle is left as it is


def test_a_graph_that_can_be_drawn_without_crossings_is() -> None:
    links = [(0, 5), (1, 4), (2, 3)]  # crossed as numbered
    layout = arrange(6, links)
    heights = [(layout.places[a][1], layout.places[b][1]) for a, b in links]
    assert not any((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(heights, 2))
    assert crossings([[0, 1, 2], [3, 4, 5]], {0: [5], 1: [4], 2: [3]}) == 3


def test_few_variables_are_shown_themselves_and_many_by_their_entities() -> None:
    names = [f"s{i}.{metric}" for i in range(6) for metric in ("cpu", "ms", "rate")]
    edges = [edge("s0.cpu", "s1.ms", weight=-0.9), edge("s0.ms", "s1.ms", weight=0.4), edge("s0.cpu", "s0.ms")]
    story = explanation(edges, moved={"s0.cpu": 40.0, "s0.ms": 4.0, "s1.ms": 9.0}, cause="s0.cpu")
    wide = figure_of(story, names)
    assert wide.noun == "entity"
    assert [(node.name, node.deviation, node.role) for node in wide.nodes] == [("s0", 40.0, "cause"), ("s1", 9.0, "")]
    assert [(link.edge.weight, link.relations) for link in wide.links] == [(-0.9, 2)]
    assert figure_of(story, names[:6]).noun == "variable"
    on_the_way = explanation(edges, moved={"s0.ms": 4.0, "s1.ms": 9.0}, cause="s0.ms", path=[edges[1]])
    assert [(link.edge.weight, link.is_path) for link in figure_of(on_the_way, names).links] == [(0.4, True)]


def test_given_relations_and_the_way_come_before_stronger_learned_ones() -> None:
    names = [f"n{i}" for i in range(8)]
    learned = [edge(a, b, weight=0.9) for a, b in combinations(names, 2)]
    known = [edge("n7", "n0", weight=0.01, origin="given")]
    way = [edge("n0", "n1", weight=0.05)]
    figure = figure_of(explanation([*learned, *way, *known], moved={"n0": 5.0, "n1": 5.0}, cause="n0", path=way), names)
    shown = {(figure.nodes[link.cause].name, figure.nodes[link.effect].name): link for link in figure.links}
    assert shown[("n7", "n0")].is_given
    assert shown[("n0", "n1")].is_path
    assert ("n0", "n7") not in shown  # the opposite of what the user gave
    assert len(shown) + figure.links_left == len(learned) + 1
    assert [node.role for node in figure.nodes if node.name in ("n0", "n1")] == ["cause", "symptom"]


def test_an_unknown_cause_is_marked_as_a_guess() -> None:
    story = explanation([], moved={"a": 5.0}, cause="a", answer="unknown")
    assert [node.role for node in figure_of(story, ["a", "b"]).nodes] == ["guess"]


def random_figure(nodes: int) -> Figure:
    names = [f"service-{i}" for i in range(nodes)]
    edges = [edge(names[min(a, b)], names[max(a, b)]) for a, b in random_links(nodes, 2 * nodes, 0) if a != b]
    moved = {name: float(i) for i, name in enumerate(names[: nodes // 3], start=1)}
    return figure_of(explanation(edges, moved=moved, cause=names[0], path=edges[:1]), names)


@pytest.mark.parametrize("nodes", [10, 50])
def test_no_two_nodes_of_a_picture_overlap_and_all_are_on_it(nodes: int) -> None:
    picture = draw(random_figure(nodes), title="t", subtitle="s")
    width, height = (float(ElementTree.fromstring(picture).attrib[key]) for key in ("width", "height"))
    found = boxes(picture)
    assert len(found) >= nodes * 0.8
    assert all(x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height for x0, y0, x1, y1 in found.values())
    for a, b in combinations(found.values(), 2):
        assert not (a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])


def test_the_legend_fits_on_the_narrowest_picture() -> None:
    picture = ElementTree.fromstring(
        draw(figure_of(explanation([], moved={}, cause="a"), ["a"]), title="", subtitle="")
    )
    ends = [float(text.attrib["x"]) + 6.5 * len(text.text or "") for text in picture.iter(f"{SVG}text")]
    assert max(ends) <= float(picture.attrib["width"])


def test_what_was_given_is_solid_and_what_was_learned_is_dashed() -> None:
    edges = [edge("a", "b", weight=1.0, origin="given"), edge("b", "c", weight=0.25)]
    picture = draw(figure_of(explanation(edges, moved={"a": 5.0}, cause="a"), ["a", "b", "c"]), title="", subtitle="")
    lines = {
        line.findtext(f"{SVG}title", "").partition(":")[0]: line
        for line in ElementTree.fromstring(picture).iter(f"{SVG}path")
        if line.find(f"{SVG}title") is not None
    }
    assert "stroke-dasharray" not in lines["a → b"].attrib
    assert "stroke-dasharray" in lines["b → c"].attrib
    assert [float(lines[name].attrib["stroke-width"]) for name in ("a → b", "b → c")] == [5.0, 2.0]


def test_text_of_the_input_cannot_break_the_picture() -> None:
    names = ['<script>"&\x00', "b" * 80]
    story = explanation([edge(names[0], names[1])], moved={names[0]: 5.0}, cause=names[0])
    picture = draw(figure_of(story, names), title="<&", subtitle="</svg>")
    assert ElementTree.fromstring(picture).find(f"{SVG}title").text == "<&"
    assert "<script" not in picture
    assert "b" * 31 not in "".join(text.text or "" for text in ElementTree.fromstring(picture).iter(f"{SVG}text"))


def test_a_picture_of_a_great_system_stays_bounded_and_says_what_is_left_out() -> None:
    names = [f"n{i}" for i in range(300)]
    moved = dict.fromkeys(names, 5.0)
    figure = figure_of(explanation([], moved=moved, cause="n299"), names)
    assert (len(figure.nodes), figure.nodes_left) == (MOST_NODES, 240)
    assert any(node.role == "cause" for node in figure.nodes)
    assert "240 variables not shown" in draw(figure, title="", subtitle="")


def texts(picture: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(picture).iter(f"{SVG}text"))


def test_a_relation_of_one_state_has_a_stroke_of_its_own_and_a_word_in_the_legend() -> None:
    edges = [
        edge("a", "b", holds="both"),
        edge("b", "c", holds="since_change"),
        edge("c", "d", holds="until_change"),
    ]
    picture = draw(figure_of(explanation(edges, moved={"a": 5.0}, cause="a"), list("abcd")), title="", subtitle="")
    lines = [p for p in ElementTree.fromstring(picture).iter(f"{SVG}path") if p.find(f"{SVG}title") is not None]
    strokes = {p.findtext(f"{SVG}title", "").split(":")[0]: (p.get("stroke"), p.get("stroke-dasharray")) for p in lines}
    assert len(set(strokes.values())) == 3
    assert strokes["a → b"] == ("#8a93a3", "7 5")  # as any learned one
    for words in ("only since the change", "ended with the change"):
        assert picture.count(f">{words}</text>") == 1
    width = float(ElementTree.fromstring(picture).attrib["width"])
    assert all(float(word.attrib["x"]) + 7 * len(word.text or "") < width for word in texts(picture))
    plain = draw(
        figure_of(explanation([edge("a", "b")], moved={"a": 5.0}, cause="a"), list("ab")), title="", subtitle=""
    )
    assert "the change</text>" not in plain


def test_relations_since_the_change_are_shown_before_stronger_ones() -> None:
    names = [f"n{i}" for i in range(8)]
    known = [edge(a, b, weight=0.9, holds="both") for a, b in combinations(names, 2)][:20]
    new = edge("n6", "n7", weight=0.2, holds="since_change")
    figure = figure_of(explanation([*known, new], moved={"n0": 5.0}, cause="n0"), names)
    assert "since_change" in {link.edge.holds for link in figure.links}
    assert figure.links_left > 0
