"""The causal graph: which variable moves which, after how many rows, how strongly, and who says so."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from detectors.block import BoolArray, FloatArray, IntArray
from detectors.findings import Edge, Holds

HOLDS: tuple[Holds, ...] = ("", "both", "since_change", "until_change")
UNTIL_CHANGE = HOLDS.index("until_change")
SINCE_CHANGE = HOLDS.index("since_change")


def entity_of(variable: str) -> str:
    """The part of the system a variable belongs to: the text before its last dot, or the variable itself.

    >>> entity_of("cart.db.cpu"), entity_of("Salinity")
    ('cart.db', 'Salinity')
    """
    return variable.rpartition(".")[0] or variable


def members(names: Iterable[str]) -> dict[str, list[int]]:
    """Entity -> the numbers of its variables, in the order of first appearance."""
    found: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        found.setdefault(entity_of(name), []).append(number)
    return found


def named(names: Sequence[str], variables: Sequence[str]) -> BoolArray:
    """(D,) which of the variables are named, themselves or by their entity.

    >>> named(["shop"], ["shop.cpu", "cart.cpu"]).tolist()
    [True, False]
    """
    wanted = set(names)
    return np.array([v in wanted or entity_of(v) in wanted for v in variables], dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class CausalGraph:
    """A directed graph over D variables, as E edges in arrays.

    causes, effects: (E,) numbers of variables.  lags: (E,) rows, 0 = within the row.  weights: (E,) standardised
    coefficient, 1.0 where none is known.  given: (E,) the user's (True) or learned (False).  rows: the sample size,
    how many rows lags and weights were learned from; 0 = they were not.
    links: the given relations by the names the user gave, each once; an entity's link stands for edges between all
    its variables.  unknown: names of the user's that no variable or entity has.
    holds: (E,) places in HOLDS, in which state each edge holds; None where the two states were not told apart.
    """

    variables: tuple[str, ...]
    causes: IntArray
    effects: IntArray
    lags: IntArray
    weights: FloatArray
    given: BoolArray
    links: tuple[tuple[str, str], ...] = ()
    unknown: tuple[str, ...] = ()
    rows: int = 0
    holds: IntArray | None = None

    @classmethod
    def empty(cls, variables: Sequence[str]) -> "CausalGraph":
        """Nothing known."""
        none = np.zeros(0, dtype=np.int64)
        return cls(tuple(variables), none, none, none, np.zeros(0), np.zeros(0, dtype=np.bool_))

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]], variables: Sequence[str]) -> "CausalGraph":
        """A given graph from (cause, effect) names of variables or entities.

        A name that is both is the variable. Self-relations and repeats are dropped, unknown names kept apart.

        >>> graph = CausalGraph.from_pairs([("db", "web.ms"), ("dns", "web")], ["db.cpu", "db.io", "web.ms"])
        >>> [(edge.cause, edge.effect) for edge in graph.edges()], graph.unknown
        ([('db.cpu', 'web.ms'), ('db.io', 'web.ms')], ('dns',))
        """
        known: dict[str, list[int]] = {**members(variables), **{name: [i] for i, name in enumerate(variables)}}
        links = tuple(dict.fromkeys((a, b) for a, b in pairs if a != b))
        found = {(i, j) for a, b in links for i in known.get(a, ()) for j in known.get(b, ()) if i != j}
        ends = np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
        count = len(ends)
        return cls(
            tuple(variables),
            causes=ends[:, 0],
            effects=ends[:, 1],
            lags=np.zeros(count, dtype=np.int64),
            weights=np.ones(count),
            given=np.ones(count, dtype=np.bool_),
            links=tuple((a, b) for a, b in links if a in known and b in known),
            unknown=tuple(dict.fromkeys(name for link in links for name in link if name not in known)),
        )

    def __len__(self) -> int:
        return len(self.causes)

    def adjacency(self) -> BoolArray:
        """(D, D), [i, j] True where i is a cause of j at any lag."""
        matrix = np.zeros((len(self.variables), len(self.variables)), dtype=np.bool_)
        matrix[self.causes, self.effects] = True
        return matrix

    def edges(self, origin: Literal["given", "learned"] | None = None) -> tuple[Edge, ...]:
        """The edges between variables as records, strongest first."""
        order = np.argsort(-np.abs(self.weights), kind="stable")
        records = (self.edge(number) for number in order.tolist())
        return tuple(edge for edge in records if origin is None or edge.origin == origin)

    def edge(self, number: int) -> Edge:
        """One edge as a record."""
        return Edge(
            self.variables[self.causes[number]],
            self.variables[self.effects[number]],
            int(self.lags[number]),
            float(self.weights[number]),
            "given" if self.given[number] else "learned",
            self.rows,
            HOLDS[0 if self.holds is None else int(self.holds[number])],
        )

    def only(self, keep: BoolArray) -> "CausalGraph":
        """The graph with the edges where keep (E,) is True."""
        return replace(
            self,
            causes=self.causes[keep],
            effects=self.effects[keep],
            lags=self.lags[keep],
            weights=self.weights[keep],
            given=self.given[keep],
            holds=None if self.holds is None else self.holds[keep],
        )

    def before_change(self) -> "CausalGraph":
        """The graph as it was before the change that it tells of."""
        return self if self.holds is None else replace(self.only(self.holds != SINCE_CHANGE), holds=None)

    def in_force(self) -> "CausalGraph":
        """The graph without the learned relations that ended with the change; given ones are the user's."""
        return self if self.holds is None else self.only((self.holds != UNTIL_CHANGE) | self.given)
