"""An autoencoder over short windows of rows: how badly each row fits what the recent normal rows have in common.

A slow second opinion, for what the vote's members do not see: relations between many variables over some rows. A window
of the last rows, standardised, goes through a narrow code; the score is the error of the newest row, calibrated as all
scores are, so that 1.0 is the line. It learns only from rows that the vote held for normal, a bounded number of steps
each time. Works badly in its first few hundred rows, and on systems with fewer variables than its code has units.

Hawkins et al. (2002), replicator networks for outlier detection; windows, schedule and calibration are ours.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from detectors.block import BoolArray, FloatArray, IntArray, Rows, State, nested, part
from detectors.combine.calibration import Calibration, CalibrationSettings
from detectors.intake import Intake, IntakeSettings
from detectors.online.scale import fit_scale, learn_scale, new_scale

if TYPE_CHECKING:
    from detectors.background.network import Float32Array

_CLIP = 8.0  # of a standardised value
_REFERENCE_ROWS = 5_000  # the errors that make the line are forgotten: the network improves on them


def available() -> str | None:
    """None if the autoencoder can run here, else why it is off, in one line."""
    if find_spec("torch") is None:
        return "the autoencoder is off: torch is not installed (the extra named torch installs it)"
    return None


@dataclass(frozen=True, slots=True)
class AutoencoderSettings:
    """window_rows: rows in a window. hidden, code: units of the network.

    batch_rows: rows are scored in micro-batches of so many, in the grid of the system's own rows: a score is late by up
        to so many rows.
    memory_rows: the normal rows it is trained on are among the last so many.
    steps, batch_windows: steps after each micro-batch, and windows in each.
    learning_rate: of Adam. warmup_steps: steps before the first score; until then eight times as many are made.
    device: auto is cuda if there is one, else cpu. Only on a CPU do the same rows give the same bits.
    """

    window_rows: int = 8
    hidden: int = 64
    code: int = 8
    batch_rows: int = 16
    memory_rows: int = 2048
    steps: int = 2
    batch_windows: int = 64
    learning_rate: float = 1e-3
    warmup_steps: int = 256
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        for name in ("window_rows", "hidden", "code", "batch_rows", "steps", "batch_windows", "warmup_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.memory_rows < 2 * max(self.window_rows, self.batch_rows):
            raise ValueError(f"memory_rows must be twice window_rows and batch_rows or more, got {self.memory_rows}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"device must be auto, cpu or cuda, got {self.device!r}")


class _Waiting(NamedTuple):
    time: int
    values: FloatArray  # (D,)
    normal: bool
    after_gap: bool


class Autoencoder:
    """A deterministic state machine over the D variables of one system; any split of the rows gives the same scores.

    Cost at D = 38 on one core of 2017 (Zen): 0.4 ms a row, most of it training. State in float32: three times the
    parameters, 6 D window_rows hidden, and D memory_rows; 0.8 MB at D = 38.
    """

    def __init__(self, variables: int, settings: AutoencoderSettings | None = None, *, seed: int = 0) -> None:
        from detectors.background.network import Network  # noqa: PLC0415 - torch, for those who use it

        self._settings = s = settings or AutoencoderSettings()
        inputs = s.window_rows * variables
        self._network = Network(inputs, s.hidden, s.code, s.learning_rate, seed=seed, device=s.device)
        self._intake = Intake(variables, IntakeSettings())
        self._scale = new_scale(variables)
        self._calibration = Calibration(1, CalibrationSettings(memory_rows=_REFERENCE_ROWS))
        # The last rows, oldest first: standardised when they came, NaN = missing; then runs of rows without a break,
        # and runs of those that were normal.
        self._memory: Float32Array = np.full((s.memory_rows, variables), np.nan, dtype=np.float32)
        self._runs = np.zeros((2, s.memory_rows), dtype=np.int64)
        self._seed = seed
        self._waiting: list[_Waiting] = []  # rows of the open micro-batch

    def step(
        self, times: IntArray, values: FloatArray, normal: BoolArray, *, after_gap: bool = False
    ) -> list[tuple[int, float]]:
        """Take in rows; returns (time, score) of those whose micro-batch is complete, 0.0 while there is no opinion.

        times: (T,). values: (T, D) as they came, NaN = missing. normal: (T,) what may be learned. after_gap: rows
        before these were left out.
        """
        found = []
        for t in range(len(times)):
            self._waiting.append(_Waiting(int(times[t]), values[t].copy(), bool(normal[t]), after_gap and t == 0))
            if len(self._waiting) == self._settings.batch_rows:
                found += self._micro_batch()
        return found

    def _micro_batch(self) -> list[tuple[int, float]]:
        batch, self._waiting = self._waiting, []
        rows = self._intake.read(np.array([row.values for row in batch]))
        normal = np.array([row.normal for row in batch])
        warming = self._network.steps < self._settings.warmup_steps
        if warming:
            self._learn_scale(rows, normal)
        self._remember(self._standardised(rows), normal, np.array([row.after_gap for row in batch]))
        raw, valid = self._errors()
        scores = self._calibration.judge(raw[:, None], valid[:, None] & (not warming))[:, 0]
        if not warming:
            self._learn_scale(rows, normal)
        self._train()
        return [(row.time, float(score)) for row, score in zip(batch, scores, strict=True)]

    def _learn_scale(self, rows: Rows, normal: BoolArray) -> None:
        for t in range(len(rows)):
            learn_scale(self._scale, rows.values[t], rows.present[t], rows.renewed[t], float(normal[t]))

    def _standardised(self, rows: Rows) -> "Float32Array":
        """(T, D), NaN where missing."""
        mean, sd = np.empty_like(self._scale[0]), np.empty_like(self._scale[0])
        fit_scale(self._scale, mean, sd)
        away = rows.values - mean
        z = np.where(sd > 0.0, away / np.where(sd > 0.0, sd, 1.0), np.sign(away) * _CLIP)
        return np.where(rows.present, np.clip(z, -_CLIP, _CLIP), np.nan).astype(np.float32)

    def _remember(self, z: "Float32Array", normal: BoolArray, after_gap: BoolArray) -> None:
        """Append a micro-batch to the memory, and the runs that its rows end."""
        count = len(z)
        self._memory = np.concatenate([self._memory[count:], z])
        runs = np.zeros((2, count), dtype=np.int64)
        whole, learnable = self._runs[:, -1]
        for t in range(count):
            whole = 1 if after_gap[t] else whole + 1
            learnable = min(learnable + 1, whole) if normal[t] else 0
            runs[:, t] = whole, learnable
        self._runs = np.concatenate([self._runs[:, count:], runs], axis=1)

    def _windows(self, ends: IntArray) -> "Float32Array":
        """(..., window_rows D) the windows that end at these places (...) of the memory, NaN where missing."""
        places = ends[..., None] + np.arange(1 - self._settings.window_rows, 1)
        windows: Float32Array = self._memory[places].reshape(*ends.shape, -1)
        return windows

    def _errors(self) -> tuple[FloatArray, BoolArray]:
        """Root mean squared error of each of the newest rows, and whether there is one: (B,) both."""
        s = self._settings
        windows = self._windows(np.arange(s.memory_rows - s.batch_rows, s.memory_rows))
        there = ~np.isnan(windows)
        filled = np.where(there, windows, np.float32(0.0))
        newest = slice(-self._memory.shape[1], None)
        squares = np.where(there, np.square(self._network.reconstruct(filled) - filled), 0.0)[:, newest]
        counts = there[:, newest].sum(axis=1)
        valid = (counts > 0) & (self._runs[0, -s.batch_rows :] >= s.window_rows)
        return np.sqrt(squares.sum(axis=1, dtype=np.float64) / np.maximum(counts, 1)), valid

    def _train(self) -> None:
        s = self._settings
        eligible = np.flatnonzero(self._runs[1] >= s.window_rows)
        eligible = eligible[eligible >= s.window_rows - 1]
        if len(eligible) < s.batch_rows:
            return
        rng = np.random.default_rng([self._seed, self._network.steps])
        steps = s.steps if self._network.steps >= s.warmup_steps else 8 * s.steps
        windows = self._windows(eligible[rng.integers(len(eligible), size=(steps, s.batch_windows))])
        there = ~np.isnan(windows)
        self._network.train(np.where(there, windows, np.float32(0.0)), there.astype(np.float32))

    def state(self) -> State:
        """All that the next scores depend on, as named arrays."""
        waiting = self._waiting
        return {
            **nested("network", self._network.state()),
            **nested("intake", self._intake.state()),
            **nested("calibration", self._calibration.state()),
            "scale": self._scale.copy(),
            "memory": self._memory.copy(),
            "runs": self._runs.copy(),
            "waiting/times": np.array([row.time for row in waiting], dtype=np.int64),
            "waiting/values": np.array([row.values for row in waiting]).reshape(len(waiting), self._memory.shape[1]),
            "waiting/flags": np.array([(row.normal, row.after_gap) for row in waiting], dtype=np.bool_).reshape(-1, 2),
        }

    def load_state(self, state: State) -> None:
        """Continue where the state was taken; bit for bit on a CPU."""
        self._network.load_state(part("network", state))
        self._intake.load_state(part("intake", state))
        self._calibration.load_state(part("calibration", state))
        self._scale[:] = state["scale"]
        self._memory, self._runs = state["memory"].copy(), state["runs"].copy()
        waiting = zip(state["waiting/times"], state["waiting/values"], state["waiting/flags"], strict=True)
        self._waiting = [
            _Waiting(int(time), row.copy(), bool(flags[0]), bool(flags[1])) for time, row, flags in waiting
        ]
