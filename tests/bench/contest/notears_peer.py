"""NOTEARS (Zheng et al. 2018) by torch's autograd: squared loss on the rows, and the trace of an exponential."""

import numpy as np
import torch

SPARSITY, RHO, ALPHA, RATE = 0.02, 1.0, 0.0, 0.03


class Notears:
    """Each call of :meth:`descend` does so many steps of Adam on the augmented Lagrangian. rows: (T, D)."""

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = torch.from_numpy((rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1e-12))
        count = rows.shape[1]
        self.weights = torch.zeros((count, count), dtype=torch.float64, requires_grad=True)
        self._adam = torch.optim.Adam([self.weights], lr=RATE)

    def descend(self, iterations: int) -> None:
        for _ in range(iterations):
            self._adam.zero_grad()
            self._loss().backward()
            self._adam.step()

    def _loss(self) -> torch.Tensor:
        within = self.weights - torch.diag(torch.diag(self.weights))
        left = self._rows - self._rows @ within
        cycles = torch.trace(torch.matrix_exp(within * within)) - len(within)
        fit = 0.5 * (left**2).sum() / len(left)
        return fit + SPARSITY * within.abs().sum() + ALPHA * cycles + 0.5 * RHO * cycles**2
