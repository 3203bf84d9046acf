"""RePAD2 detector, per variable: an LSTM predicts the next value and is retrained when it fails; what even the
retrained one fails at is an anomaly. The detector of the RoLA system.

M.-C. Lee, J.-C. Lin, "RePAD2: Real-Time, Lightweight, and Adaptive Anomaly Detection for Open-Ended Time Series", 2023.
The full text was not at hand. From public re-implementations that quote it: the order of the steps, equations 1 and 2,
the LSTM and its training (:mod:`detectors.online.lstm_kernel`). T counts a variable's own readings from 0:

    T < 3       collect
    3 <= T < 8  train the model on the last three values, predict D[T]
    5 <= T      AARE[T] = mean over T-2..T of |D - P| / scale                                       (eq. 1)
    7 <= T      Thd = mean + 3 deviations of the last W values of AARE, that of T among them        (eq. 2)
                the model is trusted and AARE <= Thd: normal
                else train another on the last three values, predict D[T] with it, AARE and Thd anew
                    AARE <= Thd: normal, the new model takes over and is trusted
                    else: an anomaly now; the old model stays and is no longer trusted

Ours, each because the paper's way is unknown or fails on monitoring data:

- scale = max(|D|, deviation of all values so far), so that values around 0 do not explode and units do not matter.
  floor="one" takes max(|D|, 1), as the re-implementations do. A summand of equation 1 is at most 1e6.
- The LSTM learns to say each value after the one before it, and starts each training from the same weights.
- Three equal values: the model is that constant, with no training.
- Early stopping: the rule of the original is unknown; stop_loss is off by default.
- 0 / 0 in the score is 0. AARE is kept in single precision, and Thd is raised by 1e-6 of itself, so that rounding never
  decides between equal numbers.
- retrains_per_row bounds the work of a row: trainings come in bursts, all variables at once. Who waits is said by the
  old model, no longer trusted, at a score of 1 at most; the longest waiting are trained first.
- A missing reading does not exist for its variable: nothing moves and the score is 0. After a long gap T starts at 0
  again, and the history of AARE stays.

The score is AARE / Thd, so 1.0 is the line by construction. AARE of T is inside its own threshold, which bounds the
score by about sqrt(W) / 3 and keeps it under 1 for the first ten values of AARE. A change that one retraining
explains is no anomaly: RePAD2 sees the row of a change at best, not what follows. Works badly on series around 0: the
division by |D| leaves a spike of any size an error of about 1, which is what their everyday noise has.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from detectors.block import FloatArray, IntArray, Rows, State
from detectors.online.lstm_kernel import initial_parameters, new_room
from detectors.online.protocol import Scores
from detectors.online.repad2_kernel import (
    BASIS,
    COUNTS,
    ERRORS,
    LAST,
    LATE,
    NUMBERS,
    PUSHED,
    READINGS,
    RETRAINED,
    SEEN,
    SUMS,
    WAITED,
    score_rows,
    train_again,
)


@dataclass(frozen=True, slots=True)
class Repad2Settings:
    """Defaults are the re-implementations', except for floor and for what they do not have.

    window_rows: W of equation 2, rows of AARE.
    epochs, learning_rate: of a training.
    stop_loss: a training ends once its squared error, on the scale 0 to 1, is below this; 0 never ends it early.
    retrains_per_row: so many variables of a system are trained again at one row; the others wait, the longest waiting
        go first, and what waits is not over its line. 0: all at once. The first trainings of a variable never wait.
    floor: what keeps the division of equation 1 from exploding, see the module.
    seed: of the initial weights; the seed handed in is added to it.
    """

    window_rows: int = 8064
    epochs: int = 50
    learning_rate: float = 0.005
    stop_loss: float = 0.0
    retrains_per_row: int = 0
    floor: Literal["deviation", "one"] = "deviation"
    seed: int = 140

    def __post_init__(self) -> None:
        if self.window_rows < 3:
            raise ValueError(f"window_rows must be at least 3, got {self.window_rows}")
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, got {self.epochs}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if not self.stop_loss >= 0:
            raise ValueError(f"stop_loss must be 0 or more, got {self.stop_loss}")
        if self.retrains_per_row < 0:
            raise ValueError(f"retrains_per_row must be at least 0 (no limit), got {self.retrains_per_row}")
        if self.floor not in ("deviation", "one"):
            raise ValueError(f"floor must be deviation or one, got {self.floor!r}")


# Its options, the weights from which it starts, room for the candidate's weights and for the LSTM, the budget of a row
# and room for those who want a training.
Training: TypeAlias = tuple[tuple[int, float, float, float], FloatArray, FloatArray, FloatArray, int, IntArray]


class Carry(NamedTuple):
    """What follows the rows, for each of D variables: the arrays that the kernel works on."""

    numbers: FloatArray  # (D, 15)
    counts: IntArray  # (D, 5)
    trusted: NDArray[np.bool_]  # (D,) the flag
    history: NDArray[np.float32]  # (D, W) the window, a ring

    def named(self) -> State:
        """Views of it, as a state names them."""
        numbers, counts = self.numbers, self.counts
        return {
            "readings": counts[:, READINGS],  # (D,) T, counted from the start or the last long gap
            "trusted": self.trusted,
            "last": numbers[:, LAST:ERRORS],  # (D, 3) the last three values, oldest first
            "errors": numbers[:, ERRORS:BASIS],  # (D, 2) the last two of |D - P| / scale, oldest first
            "basis": numbers[:, BASIS:SEEN],  # (D, 3) the values that the model was trained on
            "seen": numbers[:, SEEN:SUMS],  # (D, 3) number, mean and summed squared deviations of all values
            "retrained": counts[:, RETRAINED],  # (D,) trainings after T = 7, kept or not
            "pushed": counts[:, PUSHED],  # (D,) values of AARE so far
            "waited": counts[:, WAITED],  # (D,) rows that its next training has waited
            "late": counts[:, LATE],  # (D,) rows in all in which a training had to wait
            "sums": numbers[:, SUMS:NUMBERS],  # (D, 4) sum of AARE, of its squares, each with its rounding error
            "history": self.history,
        }


class Repad2:
    """RePAD2 for D variables. variables = AARE / Thd, flagged where > 1; expected = the prediction that was judged.

    Learns by its own rule inside :meth:`score`; :meth:`learn` does nothing, and the guard's weights do not reach it.
    Cost on one busy core of 2017 (Zen): 2 us a reading, and 170 us a retraining (.1 to 1 % of readings, but each
    reading of a variable while it is flagged); 13 s to compile, once. Memory: 4 W + 4,200 bytes a variable. A snapshot
    has the used part of W alone, and 150 bytes, since the weights follow from the three values they were trained on.
    """

    name: ClassVar[str] = "repad2"
    members: ClassVar[tuple[str, ...]] = ()
    per_variable: ClassVar[bool] = True
    calibrated: ClassVar[bool] = True

    def __init__(self, variables: int, settings: Repad2Settings | None = None, *, seed: int = 0) -> None:
        self._settings = settings or Repad2Settings()
        self._initial = initial_parameters(np.random.default_rng(self._settings.seed + seed))  # (491,)
        self._room, self._candidate = new_room(), self._initial.copy()  # for the kernels to work in
        self._waiting = np.zeros(variables, np.int64)
        self._models = np.tile(self._initial, (variables, 1))  # (D, 491)
        self._carry = Carry(
            numbers=np.zeros((variables, NUMBERS)),
            counts=np.zeros((variables, COUNTS), np.int64),
            trusted=np.ones(variables, np.bool_),
            history=np.zeros((variables, self._settings.window_rows), np.float32),
        )

    @property
    def initial(self) -> FloatArray:
        """(491,) the weights from which each training starts."""
        return self._initial.copy()

    @property
    def retrained(self) -> IntArray:
        """(D,) how often each variable's model was trained again, with success or without."""
        return self._carry.counts[:, RETRAINED].copy()

    @property
    def late(self) -> IntArray:
        """(D,) in how many rows each variable's training had to wait for the budget."""
        return self._carry.counts[:, LATE].copy()

    def score(self, rows: Rows) -> Scores:
        scores, expected = np.zeros(rows.values.shape), rows.values.copy()
        score_rows(
            (rows.values, rows.present, rows.restart, rows.renewed),
            self._training(),
            self._models,
            self._carry,
            (scores, expected),
        )
        return Scores(np.empty((len(rows), 0)), scores, expected)

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        """Nothing: see the class."""

    def _training(self) -> Training:
        s = self._settings
        options = s.epochs, s.learning_rate, s.stop_loss, 1.0 if s.floor == "one" else 0.0
        return options, self._initial, self._candidate, self._room, s.retrains_per_row, self._waiting

    def state(self) -> State:
        used = int(min(self._carry.counts[:, PUSHED].max(initial=0), self._settings.window_rows))
        arrays = self._carry._replace(history=self._carry.history[:, :used])
        return {name: array.copy() for name, array in arrays.named().items()}

    def load_state(self, state: State) -> None:
        self._carry = self._carry._replace(history=np.zeros_like(self._carry.history))  # takes memory as it is used
        for name, array in self._carry.named().items():
            used = array[:, : state[name].shape[1]] if name == "history" else array
            used[...] = state[name]
        train_again(self._training(), self._models, self._carry.numbers)
