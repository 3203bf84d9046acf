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
- A missing reading does not exist for its variable: nothing moves and the score is 0. After a long gap T starts at 0
  again, and the history of AARE stays.

The score is AARE / Thd, so 1.0 is the line by construction. AARE of T is inside its own threshold, which bounds the
score by about sqrt(W) / 3 and keeps it under 1 for the first ten values of AARE. A change that one retraining
explains is no anomaly: RePAD2 sees the row of a change at best, not what follows. Works badly on series around 0: the
division by |D| leaves a spike of any size an error of about 1, which is what their everyday noise has.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.block import FloatArray, IntArray, Rows, State
from detectors.online.lstm_kernel import PARAMETERS, initial_parameters, predict, train
from detectors.online.protocol import Scores

_SLACK = 1e-6
_LARGEST_ERROR = 1e6  # in scales of the value; squares of larger ones would swamp the sums over the window


@dataclass(frozen=True, slots=True)
class Repad2Settings:
    """Defaults are the re-implementations', except for floor and for what they do not have.

    window_rows: W of equation 2, rows of AARE.
    epochs, learning_rate: of a training.
    stop_loss: a training ends once its squared error, on the scale 0 to 1, is below this; 0 never ends it early.
    floor: what keeps the division of equation 1 from exploding, see the module.
    seed: of the initial weights; the seed handed in is added to it.
    """

    window_rows: int = 8064
    epochs: int = 50
    learning_rate: float = 0.005
    stop_loss: float = 0.0
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
        if self.floor not in ("deviation", "one"):
            raise ValueError(f"floor must be deviation or one, got {self.floor!r}")


class Carry(NamedTuple):
    """What follows the rows, for each of D variables."""

    readings: IntArray  # (D,) T, counted from the start or the last long gap
    trusted: NDArray[np.bool_]  # (D,) the flag
    last: FloatArray  # (D, 3) the last three values, oldest first
    errors: FloatArray  # (D, 2) the last two of |D - P| / scale, oldest first
    basis: FloatArray  # (D, 3) the values that the model was trained on
    seen: FloatArray  # (D, 3) number, mean and summed squared deviations of all values
    retrained: IntArray  # (D,) trainings after T = 7, kept or not
    pushed: IntArray  # (D,) values of AARE so far
    sums: FloatArray  # (D, 4) sum of AARE and of its squares over the window, each with its rounding error
    history: NDArray[np.float32]  # (D, W) the window, a ring


class Repad2:
    """RePAD2 for D variables. variables = AARE / Thd, flagged where > 1; expected = the prediction that was judged.

    Learns by its own rule inside :meth:`score`; :meth:`learn` does nothing, and the guard's weights do not reach it.
    Cost on one busy core of 2017 (Zen): 3 us a reading, and 180 us a retraining (.1 to 1 % of readings, but each
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
        self._models = np.tile(self._initial, (variables, 1))  # (D, 491)
        self._carry = Carry(
            readings=np.zeros(variables, np.int64),
            trusted=np.ones(variables, np.bool_),
            last=np.zeros((variables, 3)),
            errors=np.zeros((variables, 2)),
            basis=np.zeros((variables, 3)),
            seen=np.zeros((variables, 3)),
            retrained=np.zeros(variables, np.int64),
            pushed=np.zeros(variables, np.int64),
            sums=np.zeros((variables, 4)),
            history=np.zeros((variables, self._settings.window_rows), np.float32),
        )

    @property
    def initial(self) -> FloatArray:
        """(491,) the weights from which each training starts."""
        return self._initial.copy()

    @property
    def retrained(self) -> IntArray:
        """(D,) how often each variable's model was trained again, with success or without."""
        return self._carry.retrained.copy()

    def score(self, rows: Rows) -> Scores:
        scores, expected = np.zeros(rows.values.shape), rows.values.copy()
        _score(
            (rows.values, rows.present, rows.restart, rows.renewed),
            self._training(),
            self._initial,
            self._models,
            self._carry,
            (scores, expected),
        )
        return Scores(np.empty((len(rows), 0)), scores, expected)

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        """Nothing: see the class."""

    def _training(self) -> tuple[int, float, float, float]:
        s = self._settings
        return s.epochs, s.learning_rate, s.stop_loss, 1.0 if s.floor == "one" else 0.0

    def state(self) -> State:
        used = int(min(self._carry.pushed.max(initial=0), self._settings.window_rows))
        arrays = self._carry._replace(history=self._carry.history[:, :used])
        return {name: array.copy() for name, array in arrays._asdict().items()}

    def load_state(self, state: State) -> None:
        for name, array in self._carry._asdict().items():
            stored = state[name]
            if name == "history":
                array[:] = 0.0
                array[:, : stored.shape[1]] = stored
            else:
                array[:] = stored
        _train_again(self._training(), self._initial, self._models, self._carry)


@njit(cache=True, nogil=True, error_model="numpy")
def _score(rows, training, initial, models, carry, results):  # type: ignore[no-untyped-def]
    values, present, restart, renewed = rows
    scores, expected = results
    candidate = np.empty(PARAMETERS)
    for d in range(values.shape[1]):
        for t in range(values.shape[0]):
            if renewed[t, d]:
                carry.pushed[d] = 0
                carry.sums[d, 0] = carry.sums[d, 1] = carry.sums[d, 2] = carry.sums[d, 3] = 0.0
                carry.seen[d, 0] = carry.seen[d, 1] = carry.seen[d, 2] = 0.0
            if restart[t, d] or renewed[t, d]:
                carry.readings[d] = 0
                carry.trusted[d] = True
            if present[t, d]:
                scores[t, d], expected[t, d] = _advance(d, values[t, d], training, initial, candidate, models[d], carry)


@njit(cache=True, nogil=True, error_model="numpy")
def _advance(d, x, training, initial, candidate, model, carry):  # type: ignore[no-untyped-def]
    """One reading of variable d: its score and what was expected."""
    _observe(x, carry.seen[d])
    count, last = carry.readings[d], carry.last[d]
    score, said = 0.0, x
    if count >= 3:
        score, said = _judge(d, x, training, initial, candidate, model, carry)
    last[0], last[1], last[2] = last[1], last[2], x
    carry.readings[d] = count + 1
    return score, said


@njit(cache=True, nogil=True, error_model="numpy")
def _judge(d, x, training, initial, candidate, model, carry):  # type: ignore[no-untyped-def]
    count, last, basis, errors = carry.readings[d], carry.last[d], carry.basis[d], carry.errors[d]
    one = training[3]
    if count < 8:
        _copy(last, basis)
        _train(model, initial, basis, training)
    said = _say(model, basis, last)
    error = _relative_error(x, said, carry.seen[d], one)
    score = 0.0
    if count >= 5:
        others = _sums_of_others(d, carry)
        aare, line = _threshold(errors, error, others)
        if count >= 7 and not (carry.trusted[d] and aare <= line):
            _train(candidate, initial, last, training)
            carry.retrained[d] += 1
            said = _say(candidate, last, last)
            error = _relative_error(x, said, carry.seen[d], one)
            aare, line = _threshold(errors, error, others)
            carry.trusted[d] = aare <= line
            if aare <= line:
                _copy(candidate, model)
                _copy(last, basis)
        _push(d, aare, others, carry)
        if count >= 7 and line > 0.0:
            score = aare / line
    errors[0], errors[1] = errors[1], error
    return score, said


@njit(cache=True, nogil=True, error_model="numpy")
def _observe(x, seen):  # type: ignore[no-untyped-def]
    """Welford's update of number, mean and summed squared deviations."""
    seen[0] += 1.0
    step = x - seen[1]
    seen[1] += step / seen[0]
    seen[2] += step * (x - seen[1])


@njit(cache=True, nogil=True, error_model="numpy")
def _relative_error(x, said, seen, one):  # type: ignore[no-untyped-def]
    """A summand of equation 1."""
    away = abs(x - said)
    if away == 0.0:
        return 0.0
    error = away / max(abs(x), one if one > 0.0 else np.sqrt(seen[2] / seen[0]))
    return error if error < _LARGEST_ERROR else _LARGEST_ERROR


@njit(cache=True, nogil=True, error_model="numpy")
def _scale(basis):  # type: ignore[no-untyped-def]
    """Lowest value and range of three; a range of 0 where they are no basis for an LSTM."""
    low = min(basis[0], basis[1], basis[2])
    width = max(basis[0], basis[1], basis[2]) - low
    return low, width if width < np.inf else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _copy(source, target):  # type: ignore[no-untyped-def]
    """A loop: numba takes three seconds to compile target[:] = source."""
    for k in range(source.shape[0]):
        target[k] = source[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _train(model, initial, basis, training):  # type: ignore[no-untyped-def]
    low, width = _scale(basis)
    if width > 0.0:
        _copy(initial, model)
        train(model, (basis - low) / width, training[0], training[1], training[2])


@njit(cache=True, nogil=True, error_model="numpy")
def _say(model, basis, last):  # type: ignore[no-untyped-def]
    low, width = _scale(basis)
    if width == 0.0:
        return basis[2]
    return low + width * predict(model, (last - low) / width)


@njit(cache=True, nogil=True, error_model="numpy")
def _threshold(errors, error, others):  # type: ignore[no-untyped-def]
    """AARE of this row (eq. 1) and the threshold over the window that it completes (eq. 2)."""
    aare = np.float64(np.float32((errors[0] + errors[1] + error) / 3.0))
    number = others[0] + 1.0
    mean = ((others[1] + aare) + others[2]) / number
    square = ((others[3] + aare * aare) + others[4]) / number
    return aare, (mean + 3.0 * np.sqrt(max(square - mean * mean, 0.0))) * (1.0 + _SLACK)


@njit(cache=True, nogil=True, error_model="numpy")
def _sums_of_others(d, carry):  # type: ignore[no-untyped-def]
    """Number, sum and sum of squares of the AAREs that share the window with the next; each sum with its error."""
    window, pushed, sums = carry.history.shape[1], carry.pushed[d], carry.sums[d]
    if pushed < window:
        return np.float64(pushed), sums[0], sums[1], sums[2], sums[3]
    oldest = np.float64(carry.history[d, pushed % window])
    total, total_error = _exact_sum(sums[0], sums[1], -oldest)
    squares, squares_error = _exact_sum(sums[2], sums[3], -oldest * oldest)
    return np.float64(window - 1), total, total_error, squares, squares_error


@njit(cache=True, nogil=True, error_model="numpy")
def _push(d, aare, others, carry):  # type: ignore[no-untyped-def]
    sums = carry.sums[d]
    carry.history[d, carry.pushed[d] % carry.history.shape[1]] = aare
    carry.pushed[d] += 1
    sums[0], sums[1] = _exact_sum(others[1], others[2], aare)
    sums[2], sums[3] = _exact_sum(others[3], others[4], aare * aare)


@njit(cache=True, nogil=True, error_model="numpy")
def _exact_sum(total, error, x):  # type: ignore[no-untyped-def]
    """total + error + x as (sum, error), exact to 106 bits (Knuth's two-sum): the sums over the window do not drift."""
    raw = total + x
    back = raw - total
    error += (total - (raw - back)) + (x - back)
    exact = raw + error
    return exact, error - (exact - raw)


@njit(cache=True, nogil=True, error_model="numpy")
def _train_again(training, initial, models, carry):  # type: ignore[no-untyped-def]
    """The weights of all models from the values they were trained on."""
    for d in range(models.shape[0]):
        _train(models[d], initial, carry.basis[d], training)
