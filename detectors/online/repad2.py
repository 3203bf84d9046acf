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
from typing import ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.block import FloatArray, IntArray, Rows, State
from detectors.online.lstm_kernel import initial_parameters, new_room, predict, train
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


# Its options, the weights from which it starts, and room for the candidate's weights and for the LSTM.
Training: TypeAlias = tuple[tuple[int, float, float, float], FloatArray, FloatArray, FloatArray]


# Where things stand among the numbers and the counts of a variable.
_LAST, _ERRORS, _BASIS, _SEEN, _SUMS, _NUMBERS = 0, 3, 5, 8, 11, 15
_READINGS, _RETRAINED, _PUSHED, _COUNTS = 0, 1, 2, 3


class Carry(NamedTuple):
    """What follows the rows, for each of D variables: the arrays that the kernel works on."""

    numbers: FloatArray  # (D, 15)
    counts: IntArray  # (D, 3)
    trusted: NDArray[np.bool_]  # (D,) the flag
    history: NDArray[np.float32]  # (D, W) the window, a ring

    def named(self) -> State:
        """Views of it, as a state names them."""
        numbers, counts = self.numbers, self.counts
        return {
            "readings": counts[:, _READINGS],  # (D,) T, counted from the start or the last long gap
            "trusted": self.trusted,
            "last": numbers[:, _LAST:_ERRORS],  # (D, 3) the last three values, oldest first
            "errors": numbers[:, _ERRORS:_BASIS],  # (D, 2) the last two of |D - P| / scale, oldest first
            "basis": numbers[:, _BASIS:_SEEN],  # (D, 3) the values that the model was trained on
            "seen": numbers[:, _SEEN:_SUMS],  # (D, 3) number, mean and summed squared deviations of all values
            "retrained": counts[:, _RETRAINED],  # (D,) trainings after T = 7, kept or not
            "pushed": counts[:, _PUSHED],  # (D,) values of AARE so far
            "sums": numbers[:, _SUMS:_NUMBERS],  # (D, 4) sum of AARE, of its squares, each with its rounding error
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
        self._models = np.tile(self._initial, (variables, 1))  # (D, 491)
        self._carry = Carry(
            numbers=np.zeros((variables, _NUMBERS)),
            counts=np.zeros((variables, _COUNTS), np.int64),
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
        return self._carry.counts[:, _RETRAINED].copy()

    def score(self, rows: Rows) -> Scores:
        scores, expected = np.zeros(rows.values.shape), rows.values.copy()
        _score(
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
        return options, self._initial, self._candidate, self._room

    def state(self) -> State:
        used = int(min(self._carry.counts[:, _PUSHED].max(initial=0), self._settings.window_rows))
        arrays = self._carry._replace(history=self._carry.history[:, :used])
        return {name: array.copy() for name, array in arrays.named().items()}

    def load_state(self, state: State) -> None:
        self._carry = self._carry._replace(history=np.zeros_like(self._carry.history))  # takes memory as it is used
        for name, array in self._carry.named().items():
            used = array[:, : state[name].shape[1]] if name == "history" else array
            used[...] = state[name]
        _train_again(self._training(), self._models, self._carry.numbers)


@njit(cache=True, nogil=True, error_model="numpy")
def _score(rows, training, models, carry, results):  # type: ignore[no-untyped-def]
    """Each variable through all rows. What is its own is taken out before its first row: an array that is taken out of
    a tuple or of an array counts its users, which was a fifth of the time when it was done at each reading."""
    values, present, restart, renewed = rows
    numbers, counts, trusted, history = carry
    scores, expected = results
    room = training[3]
    for d in range(values.shape[1]):
        model, own, count, trust, window = models[d], numbers[d], counts[d], trusted[d : d + 1], history[d]
        for t in range(values.shape[0]):
            if renewed[t, d]:
                count[_PUSHED] = 0
                for k in range(_SEEN, _NUMBERS):
                    own[k] = 0.0
            if restart[t, d] or renewed[t, d]:
                count[_READINGS] = 0
                trust[0] = True
            if present[t, d]:
                x = values[t, d]
                scores[t, d], expected[t, d] = _advance(x, training, room, model, own, count, trust, window)


@njit(cache=True, nogil=True, error_model="numpy")
def _advance(x, training, room, model, own, count, trust, window):  # type: ignore[no-untyped-def]
    """One reading of a variable: its score and what was expected."""
    _observe(x, own)
    score, said = 0.0, x
    if count[_READINGS] >= 3:
        score, said = _judge(x, training, room, model, own, count, trust, window)
    own[_LAST], own[_LAST + 1], own[_LAST + 2] = own[_LAST + 1], own[_LAST + 2], x
    count[_READINGS] += 1
    return score, said


@njit(cache=True, nogil=True, error_model="numpy")
def _judge(x, training, room, model, own, count, trust, window):  # type: ignore[no-untyped-def]
    readings, one = count[_READINGS], training[0][3]
    if readings < 8:
        _adopt(own)
        _train(model, own, _BASIS, training)
    said = _say(model, own, _BASIS, room)
    error = _relative_error(x, said, own, one)
    score = 0.0
    if readings >= 5:
        others = _sums_of_others(own, count, window)
        aare, line = _threshold(own, error, others)
        if readings >= 7 and not (trust[0] and aare <= line):
            candidate = training[2]
            _train(candidate, own, _LAST, training)
            count[_RETRAINED] += 1
            said = _say(candidate, own, _LAST, room)
            error = _relative_error(x, said, own, one)
            aare, line = _threshold(own, error, others)
            trust[0] = aare <= line
            if aare <= line:
                _copy(candidate, model)
                _adopt(own)
        _push(aare, others, own, count, window)
        if readings >= 7 and line > 0.0:
            score = aare / line
    own[_ERRORS], own[_ERRORS + 1] = own[_ERRORS + 1], error
    return score, said


@njit(cache=True, nogil=True, error_model="numpy")
def _observe(x, own):  # type: ignore[no-untyped-def]
    """Welford's update of number, mean and summed squared deviations."""
    own[_SEEN] += 1.0
    step = x - own[_SEEN + 1]
    own[_SEEN + 1] += step / own[_SEEN]
    own[_SEEN + 2] += step * (x - own[_SEEN + 1])


@njit(cache=True, nogil=True, error_model="numpy")
def _adopt(own):  # type: ignore[no-untyped-def]
    """The last three values are what the model was trained on."""
    for k in range(3):
        own[_BASIS + k] = own[_LAST + k]


@njit(cache=True, nogil=True, error_model="numpy")
def _relative_error(x, said, own, one):  # type: ignore[no-untyped-def]
    """A summand of equation 1."""
    away = abs(x - said)
    if away == 0.0:
        return 0.0
    error = away / max(abs(x), one if one > 0.0 else np.sqrt(own[_SEEN + 2] / own[_SEEN]))
    return error if error < _LARGEST_ERROR else _LARGEST_ERROR


@njit(cache=True, nogil=True, error_model="numpy")
def _scale(own, three):  # type: ignore[no-untyped-def]
    """Lowest value and range of the three numbers at this place; a range of 0 where they are no basis for an LSTM."""
    y0, y1, y2 = own[three], own[three + 1], own[three + 2]
    low = min(y0, y1, y2)
    width = max(y0, y1, y2) - low
    return low, width if width < np.inf else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _copy(source, target):  # type: ignore[no-untyped-def]
    """A loop: numba takes three seconds to compile target[:] = source."""
    for k in range(source.shape[0]):
        target[k] = source[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _train(model, own, three, training):  # type: ignore[no-untyped-def]
    (epochs, learning_rate, stop_loss, _), initial, _, room = training
    low, width = _scale(own, three)
    if width > 0.0:
        _copy(initial, model)
        train(model, (own[three : three + 3] - low) / width, epochs, learning_rate, stop_loss, room)


@njit(cache=True, nogil=True, error_model="numpy")
def _say(model, own, three, room):  # type: ignore[no-untyped-def]
    """What follows the last three values, by a model that was trained on the three at this place."""
    low, width = _scale(own, three)
    if width == 0.0:
        return own[three + 2]
    y0, y1, y2 = (own[_LAST] - low) / width, (own[_LAST + 1] - low) / width, (own[_LAST + 2] - low) / width
    return low + width * predict(model, y0, y1, y2, room)


@njit(cache=True, nogil=True, error_model="numpy")
def _threshold(own, error, others):  # type: ignore[no-untyped-def]
    """AARE of this row (eq. 1) and the threshold over the window that it completes (eq. 2)."""
    aare = np.float64(np.float32((own[_ERRORS] + own[_ERRORS + 1] + error) / 3.0))
    number = others[0] + 1.0
    mean = ((others[1] + aare) + others[2]) / number
    square = ((others[3] + aare * aare) + others[4]) / number
    return aare, (mean + 3.0 * np.sqrt(max(square - mean * mean, 0.0))) * (1.0 + _SLACK)


@njit(cache=True, nogil=True, error_model="numpy")
def _sums_of_others(own, count, window):  # type: ignore[no-untyped-def]
    """Number, sum and sum of squares of the AAREs that share the window with the next; each sum with its error."""
    rows, pushed = window.shape[0], count[_PUSHED]
    total, total_error, squares, squares_error = own[_SUMS], own[_SUMS + 1], own[_SUMS + 2], own[_SUMS + 3]
    if pushed < rows:
        return np.float64(pushed), total, total_error, squares, squares_error
    oldest = np.float64(window[pushed % rows])
    total, total_error = _exact_sum(total, total_error, -oldest)
    squares, squares_error = _exact_sum(squares, squares_error, -oldest * oldest)
    return np.float64(rows - 1), total, total_error, squares, squares_error


@njit(cache=True, nogil=True, error_model="numpy")
def _push(aare, others, own, count, window):  # type: ignore[no-untyped-def]
    window[count[_PUSHED] % window.shape[0]] = aare
    count[_PUSHED] += 1
    own[_SUMS], own[_SUMS + 1] = _exact_sum(others[1], others[2], aare)
    own[_SUMS + 2], own[_SUMS + 3] = _exact_sum(others[3], others[4], aare * aare)


@njit(cache=True, nogil=True, error_model="numpy")
def _exact_sum(total, error, x):  # type: ignore[no-untyped-def]
    """total + error + x as (sum, error), exact to 106 bits (Knuth's two-sum): the sums over the window do not drift."""
    raw = total + x
    back = raw - total
    error += (total - (raw - back)) + (x - back)
    exact = raw + error
    return exact, error - (exact - raw)


@njit(cache=True, nogil=True, error_model="numpy")
def _train_again(training, models, numbers):  # type: ignore[no-untyped-def]
    """The weights of all models from the values they were trained on."""
    for d in range(models.shape[0]):
        _train(models[d], numbers[d], _BASIS, training)
