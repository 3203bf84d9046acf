"""Slow and obvious twins of fast kernels."""

from collections import deque
from decimal import Decimal

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]


def torch_lstm(initial: Array) -> tuple[torch.nn.LSTM, torch.nn.Linear]:
    """RePAD2's LSTM as torch has it, from the kernel's flat parameters (491,)."""
    lstm, head = torch.nn.LSTM(1, 10, dtype=torch.float64), torch.nn.Linear(10, 1, dtype=torch.float64)
    start = torch.from_numpy(initial.copy())
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(start[:40, None])
        lstm.bias_ih_l0.copy_(start[40:80] / 2)
        lstm.bias_hh_l0.copy_(start[40:80] / 2)
        lstm.weight_hh_l0.copy_(start[80:480].reshape(10, 40).T)
        head.weight.copy_(start[None, 480:490])
        head.bias.copy_(start[490:])
    return lstm, head


class TorchModel:
    """A next-value predictor trained on three values, scaled by them; three equal values make it that constant."""

    def __init__(self, three: Array, initial: Array, epochs: int, learning_rate: float, stop_loss: float = 0.0) -> None:
        self.low, self.width = three.min(), np.ptp(three)
        self.lstm, self.head = torch_lstm(initial)
        if self.width > 0:
            self._train(torch.from_numpy((three - self.low) / self.width)[:, None], epochs, learning_rate, stop_loss)

    def _train(self, y: torch.Tensor, epochs: int, learning_rate: float, stop_loss: float) -> None:
        adam = torch.optim.Adam([*self.lstm.parameters(), *self.head.parameters()], lr=learning_rate)
        for _ in range(epochs):
            adam.zero_grad()
            loss = torch.nn.functional.mse_loss(self.head(self.lstm(y[:2])[0]), y[1:])
            if loss.item() < stop_loss:
                return
            loss.backward()
            adam.step()

    def predict(self, three: Array) -> float:
        if self.width == 0:
            return float(self.low)
        with torch.no_grad():
            y = torch.from_numpy((three - self.low) / self.width)[:, None]
            return float(self.low + self.width * self.head(self.lstm(y)[0])[-1].item())


class SlowRepad2:
    """RePAD2 of one variable, line by line; call it with each reading, get (score, expected, trained again?)."""

    def __init__(
        self, initial: Array, window: int, epochs: int = 50, learning_rate: float = 0.005, floor: str = "deviation"
    ) -> None:
        self.train = lambda three: TorchModel(np.array(three), initial, epochs, learning_rate)
        self.floor = floor
        self.values: list[float] = []
        self.errors: list[float] = []
        self.aares: deque[float] = deque(maxlen=window)
        self.trusted = True

    def __call__(self, value: float) -> tuple[float, float, bool]:
        past, T = self.values, len(self.values)
        self.values = [*past, value]
        if T < 3:
            return 0.0, value, False
        if T <= 7:
            self.model = self.train(past[-3:])
        expected = self.model.predict(np.array(past[-3:]))
        if T < 5:
            self.errors.append(self.error(value, expected))
            return 0.0, expected, False
        aare, line = self.judge(value, expected)
        again = T >= 7 and not (self.trusted and aare <= line)
        if again:
            model = self.train(past[-3:])
            expected = model.predict(np.array(past[-3:]))
            aare, line = self.judge(value, expected)
            self.trusted = aare <= line
            if self.trusted:
                self.model = model
        self.errors.append(self.error(value, expected))
        self.aares.append(aare)
        return (aare / line if T >= 7 and line > 0 else 0.0), expected, again

    def error(self, value: float, expected: float) -> float:
        floor = 1.0 if self.floor == "one" else float(np.std(self.values))
        return min(abs(value - expected) / max(abs(value), floor), 1e6) if value != expected else 0.0

    def judge(self, value: float, expected: float) -> tuple[float, float]:
        aare = float(np.float32(np.mean([*self.errors[-2:], self.error(value, expected)])))
        window = [*self.aares, aare][-(self.aares.maxlen or 0) :]
        return aare, (np.mean(window) + 3 * np.std(window)) * (1 + 1e-6)


def slow_correlation(values: Array, window: int) -> Array:
    """Pearson's r (D, D) of the last rows of values (T, D), pairwise over what is there; 0 where it does not exist."""
    newest = values[-window:]
    variables = newest.shape[1]
    r = np.zeros((variables, variables))
    for a in range(variables):
        for b in range(variables):
            both = newest[~np.isnan(newest[:, a]) & ~np.isnan(newest[:, b])][:, [a, b]]
            if len(both) >= 2 and (np.ptp(both, axis=0) > 0).all():
                r[a, b] = np.corrcoef(both[:, 0], both[:, 1])[0, 1]
    return r


def slow_poll(flagged: list[bool], r: Array, low: float, high: float) -> list[int]:
    """RoLA's rule at one row: the flagged variables whose poll says that the row is anomalous."""
    reporting = []
    for a in range(len(flagged)):
        if not flagged[a]:
            continue
        agree, disagree = 1, 0
        for b in range(len(flagged)):
            if b == a or low <= r[a, b] <= high:
                continue
            if flagged[b]:
                agree += 1
            else:
                disagree += 1
        if agree > disagree and agree + disagree > 1:
            reporting.append(a)
    return reporting


def slow_muting(over: Array, valid: Array, window: int, mutes_at: float, heard_at: float) -> Array:
    """(T, G, C) who has no vote in each row: whoever was alone over the line, (T, G, C), too often before."""
    rows, detectors, columns = over.shape
    muted = np.zeros(over.shape, dtype=bool)
    for c in range(columns):
        share, now = [0.0] * detectors, [False] * detectors
        for t in range(rows):
            muted[t, :, c] = now
            if not valid[t, c]:
                continue
            heard = [g for g in range(detectors) if not now[g]]
            for g in range(detectors):
                others = [h for h in heard if h != g]
                if others:
                    alone = over[t, g, c] and not any(over[t, h, c] for h in others)
                    share[g] += (alone - share[g]) / window
            now = [share[g] > mutes_at or (now[g] and share[g] >= heard_at) for g in range(detectors)]
    return muted


def slow_places(column: Array) -> int:
    """The most places that a value of the column is written with."""
    return max(-int(Decimal(repr(value)).normalize().as_tuple().exponent) for value in column.tolist())


def slow_first_alike(rows: Array) -> list[int]:
    """Where the first row stands that has the bytes of this one."""
    seen: dict[bytes, int] = {}
    return [seen.setdefault(row.tobytes(), place) for place, row in enumerate(rows)]
