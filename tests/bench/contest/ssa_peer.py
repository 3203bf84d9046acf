"""Multivariate SSA by a singular value decomposition of the last N rows at every row, and a CUSUM of what it leaves."""

import numpy as np


class SvdSsa:
    """Call it with each row (D,): the CUSUM. rows: N.  window: L, of a lag vector."""

    def __init__(self, variables: int, rows: int, window: int, energy: float = 0.95) -> None:
        self._rows, self._window, self._energy = rows, window, energy
        self._recent = np.zeros((0, variables))
        self._cusum = 0.0

    def __call__(self, row: np.ndarray) -> float:
        self._recent = np.concatenate([self._recent, row[None]])[-self._rows - 1 :]
        if len(self._recent) > self._rows:
            past = self._recent[:-1]
            mean, deviation = past.mean(axis=0), past.std(axis=0) + 1e-12
            newest = ((self._recent[-self._window :] - mean) / deviation).T  # (D, L)
            subspace, drift = self._decompose((past - mean) / deviation)
            residual = newest - (newest @ subspace) @ subspace.T
            self._cusum = max(0.0, self._cusum + float((residual**2).sum()) - drift)
        return self._cusum

    def _decompose(self, past: np.ndarray) -> tuple[np.ndarray, float]:
        """The leading directions (L, r) of all lag vectors, and what they leave of one row's on average."""
        views = np.lib.stride_tricks.sliding_window_view(past, self._window, axis=0)  # (K, D, L)
        vectors = views.reshape(-1, self._window)
        _, values, directions = np.linalg.svd(vectors, full_matrices=False)
        share = np.cumsum(values**2) / max(float((values**2).sum()), 1e-300)
        rank = int(np.searchsorted(share, self._energy)) + 1
        return directions[:rank].T, float((values[rank:] ** 2).sum()) / len(views)
