"""The slow twin of our half-space trees: river's own class behind the same scale, one row and variable at a time."""

import numpy as np
from numpy.typing import NDArray
from river.anomaly import HalfSpaceTrees as River

from detectors.block import Rows

Array = NDArray[np.float64]


class SlowHalfSpaceTrees:
    """Scores (T,) and learning as the detector's, from river's score_one and learn_one."""

    def __init__(self, variables: int, *, trees: int, height: int, window: int, range_rows: int, seed: int) -> None:
        self.river = River(n_trees=trees, height=height, window_size=window, seed=seed)
        self.river.learn_one(dict.fromkeys(range(variables), 0.5))  # grows the trees
        self.nodes = [node for tree in self.river.trees for node in tree.iter_dfs()]
        for node in self.nodes:
            node.l_mass = 0
        self.river.counter = 0
        self.least = 1.0 / (trees * window * 2.0 ** (height + 1))
        self.low, self.high = [np.nan] * variables, [np.nan] * variables
        self.range_rows, self.account = range_rows, 0.0

    def score(self, rows: Rows) -> Array:
        masses = [1.0 - self.river.score_one(self.placed(rows, t)) for t in range(len(rows))]
        return np.array([-np.log2(min(max(mass, self.least), 1.0)) + 0.0 for mass in masses])

    def learn(self, rows: Rows, weights: Array) -> None:
        for t, weight in enumerate(weights.tolist()):
            for d, x in enumerate(rows.values[t].tolist()):
                if rows.renewed[t, d]:
                    self.low[d] = self.high[d] = np.nan
                if rows.present[t, d] and weight > 0:
                    self.widen(d, x, weight)
            self.account += weight
            if self.account >= 1.0:
                self.account -= 1.0
                self.river.learn_one(self.placed(rows, t))

    def widen(self, d: int, x: float, weight: float) -> None:
        if np.isnan(self.low[d]):
            self.low[d] = self.high[d] = x
        self.low[d] += (x - self.low[d]) * (weight if x < self.low[d] else weight / self.range_rows)
        self.high[d] += (x - self.high[d]) * (weight if x > self.high[d] else weight / self.range_rows)

    def placed(self, rows: Rows, t: int) -> dict[int, float]:
        """The readings that are there, on the scale of the trees."""
        there = np.flatnonzero(rows.present[t]).tolist()
        return {d: self.place(float(rows.values[t, d]), self.low[d], self.high[d]) for d in there}

    def place(self, x: float, low: float, high: float) -> float:
        if high > low:
            return min(max(0.25 + 0.5 * (x - low) / (high - low), 0.0), 1.0)
        return 1.0 if x > high else 0.0 if x < low else 0.5

    def masses(self) -> NDArray[np.uint16]:
        """(N, 2) of the last and of the current window."""
        return np.array([(node.r_mass, node.l_mass) for node in self.nodes], dtype=np.uint16)
