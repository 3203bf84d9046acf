"""RePAD2 as one would write it at first: a torch LSTM for every variable, trained again in a Python loop.

The order of the steps is the paper's, as detectors/online/repad2.py tells it; nothing is shared with it. Of max(|D|, 1)
and ours, the division of equation 1 takes the former, as the public re-implementations do.
"""

import statistics
from collections import deque

import torch

WINDOW = 8064


class Model:
    """Ten units, Adam, 50 epochs on three values scaled to 0..1: each is to be said after the one before."""

    def __init__(self, three: list[float]) -> None:
        self.low, self.width = min(three), (max(three) - min(three)) or 1.0
        self.lstm, self.head = torch.nn.LSTM(1, 10), torch.nn.Linear(10, 1)
        scaled = self._scaled(three)
        adam = torch.optim.Adam([*self.lstm.parameters(), *self.head.parameters()], lr=0.005)
        for _ in range(50):
            adam.zero_grad()
            loss = torch.nn.functional.mse_loss(self.head(self.lstm(scaled[:2])[0]), scaled[1:])
            loss.backward()
            adam.step()

    def predict(self, three: list[float]) -> float:
        with torch.no_grad():
            said = self.head(self.lstm(self._scaled(three))[0])[-1].item()
        return self.low + self.width * float(said)

    def _scaled(self, three: list[float]) -> torch.Tensor:
        return torch.tensor([[(value - self.low) / self.width] for value in three])


class NaiveRepad2:
    """One variable. Call it with each reading: is it an anomaly?"""

    def __init__(self) -> None:
        self.model: Model | None = None
        self.count, self.trusted = 0, True
        self.last: deque[float] = deque(maxlen=3)
        self.errors: deque[float] = deque(maxlen=2)
        self.aares: deque[float] = deque(maxlen=WINDOW)

    def __call__(self, x: float) -> bool:
        flagged = self.count >= 3 and self._judge(x, list(self.last))
        self.last.append(x)
        self.count += 1
        return flagged

    def _judge(self, x: float, last: list[float]) -> bool:
        if self.count < 8 or self.model is None:
            self.model = Model(last)
        error = abs(x - self.model.predict(last)) / max(abs(x), 1.0)
        flagged = False
        if self.count >= 5:
            aare, line = self._threshold(error)
            if self.count >= 7 and not (self.trusted and aare <= line):
                fresh = Model(last)
                error = abs(x - fresh.predict(last)) / max(abs(x), 1.0)
                aare, line = self._threshold(error)
                self.trusted = aare <= line
                self.model = fresh if self.trusted else self.model
                flagged = not self.trusted
            self.aares.append(aare)
        self.errors.append(error)
        return flagged

    def _threshold(self, error: float) -> tuple[float, float]:
        """AARE (eq. 1) and Thd over the window with it (eq. 2)."""
        aare = (sum(self.errors) + error) / 3
        window = [*self.aares, aare]
        return aare, statistics.fmean(window) + 3 * statistics.pstdev(window)
