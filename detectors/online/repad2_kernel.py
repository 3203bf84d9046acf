"""The rule of RePAD2, row by row over all variables: what :mod:`detectors.online.repad2` tells, compiled.

A row goes in three steps: each variable looks at its reading with the model it has; those that cannot explain it so are
trained again, as many as the budget allows; what was decided enters each window. A variable's own numbers stand in
arrays over variables and are read in place: an array taken out of another one counts its users, which at each reading
was a fifth of the time.
"""

import numpy as np
from numba import njit

from detectors.online.lstm_kernel import predict, train

SLACK = 1e-6
_LARGEST_ERROR = 1e6  # in scales of the value; squares of larger ones would swamp the sums over the window

# Where things stand among the numbers and the counts of a variable.
LAST, ERRORS, BASIS, SEEN, SUMS, NUMBERS = 0, 3, 5, 8, 11, 15
READINGS, RETRAINED, PUSHED, WAITED, LATE, COUNTS = 0, 1, 2, 3, 4, 5


@njit(cache=True, nogil=True, error_model="numpy")
def score_rows(rows, training, models, carry, results):  # type: ignore[no-untyped-def]
    """All variables through all rows. A row whose budget is spent leaves the longest waiting ones to the next row."""
    values, present, restart, renewed = rows
    numbers, counts, trusted, _ = carry
    scores, expected = results
    budget, waiting = training[4], training[5]
    for t in range(values.shape[0]):
        wanting = 0
        for d in range(values.shape[1]):
            if renewed[t, d]:
                _forget(d, numbers, counts)
            if restart[t, d] or renewed[t, d]:
                counts[d, READINGS], counts[d, WAITED] = 0, 0
                trusted[d] = True
            if present[t, d]:
                score, said, wants = _look(values[t, d], d, training, models, carry)
                scores[t, d], expected[t, d] = score, said
                if wants:
                    waiting[wanting] = d
                    wanting += 1
        for n in range(wanting):
            d = _longest_waiting(waiting, n, wanting, counts)
            if budget == 0 or n < budget:
                scores[t, d], expected[t, d] = _look_again(values[t, d], d, training, models, carry)
            else:
                scores[t, d] = _wait(values[t, d], d, expected[t, d], training, carry)
        for d in range(values.shape[1]):
            if present[t, d]:
                _remember(values[t, d], d, numbers, counts)


@njit(cache=True, nogil=True, error_model="numpy")
def _forget(d, numbers, counts):  # type: ignore[no-untyped-def]
    counts[d, PUSHED] = 0
    for k in range(SEEN, NUMBERS):
        numbers[d, k] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _longest_waiting(waiting, n, wanting, counts):  # type: ignore[no-untyped-def]
    """The variable of waiting[n:wanting] that waits longest, the first of equals; brought to place n, the others kept
    in their order."""
    best = n
    for i in range(n + 1, wanting):
        if counts[waiting[i], WAITED] > counts[waiting[best], WAITED]:
            best = i
    d = waiting[best]
    for i in range(best, n, -1):
        waiting[i] = waiting[i - 1]
    waiting[n] = d
    return d


@njit(cache=True, nogil=True, error_model="numpy")
def _look(x, d, training, models, carry):  # type: ignore[no-untyped-def]
    """A reading by the model that there is: score, what was expected, and whether another model is wanted."""
    numbers, counts, trusted, history = carry
    _observe(x, d, numbers)
    readings = counts[d, READINGS]
    if readings < 3:
        return 0.0, x, False
    model = models[d]
    if readings < 8:
        _adopt(d, numbers)
        _train(model, d, numbers, BASIS, training)
    said = _say(model, d, numbers, BASIS, training[3])
    error = _relative_error(x, said, d, numbers, training[0][3])
    if readings < 5:
        _conclude(d, error, numbers)
        return 0.0, said, False
    others = _sums_of_others(d, numbers, counts, history)
    aare, line = _threshold(d, error, others, numbers)
    if readings >= 7 and not (trusted[d] and aare <= line):
        return 0.0, said, True
    _push(d, aare, others, numbers, counts, history)
    _conclude(d, error, numbers)
    return aare / line if readings >= 7 and line > 0.0 else 0.0, said, False


@njit(cache=True, nogil=True, error_model="numpy")
def _look_again(x, d, training, models, carry):  # type: ignore[no-untyped-def]
    """The reading by a model that is trained for it: score, and what was expected."""
    numbers, counts, trusted, history = carry
    candidate = training[2]
    _train(candidate, d, numbers, LAST, training)
    counts[d, RETRAINED] += 1
    counts[d, WAITED] = 0
    said = _say(candidate, d, numbers, LAST, training[3])
    error = _relative_error(x, said, d, numbers, training[0][3])
    others = _sums_of_others(d, numbers, counts, history)
    aare, line = _threshold(d, error, others, numbers)
    trusted[d] = aare <= line
    if aare <= line:
        _copy(candidate, models[d])
        _adopt(d, numbers)
    _push(d, aare, others, numbers, counts, history)
    _conclude(d, error, numbers)
    return aare / line if line > 0.0 else 0.0, said


@njit(cache=True, nogil=True, error_model="numpy")
def _wait(x, d, said, training, carry):  # type: ignore[no-untyped-def]
    """The reading by the old model, no longer trusted, for its training has to wait: never over the line, since only
    what a new model fails at is an anomaly."""
    numbers, counts, trusted, history = carry
    error = _relative_error(x, said, d, numbers, training[0][3])
    others = _sums_of_others(d, numbers, counts, history)
    aare, line = _threshold(d, error, others, numbers)
    trusted[d] = False
    counts[d, WAITED] += 1
    counts[d, LATE] += 1
    _push(d, aare, others, numbers, counts, history)
    _conclude(d, error, numbers)
    return min(aare / line, 1.0) if line > 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _observe(x, d, numbers):  # type: ignore[no-untyped-def]
    """Welford's update of number, mean and summed squared deviations."""
    numbers[d, SEEN] += 1.0
    step = x - numbers[d, SEEN + 1]
    numbers[d, SEEN + 1] += step / numbers[d, SEEN]
    numbers[d, SEEN + 2] += step * (x - numbers[d, SEEN + 1])


@njit(cache=True, nogil=True, error_model="numpy")
def _remember(x, d, numbers, counts):  # type: ignore[no-untyped-def]
    numbers[d, LAST], numbers[d, LAST + 1], numbers[d, LAST + 2] = numbers[d, LAST + 1], numbers[d, LAST + 2], x
    counts[d, READINGS] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _conclude(d, error, numbers):  # type: ignore[no-untyped-def]
    numbers[d, ERRORS], numbers[d, ERRORS + 1] = numbers[d, ERRORS + 1], error


@njit(cache=True, nogil=True, error_model="numpy")
def _adopt(d, numbers):  # type: ignore[no-untyped-def]
    """The last three values are what the model was trained on."""
    for k in range(3):
        numbers[d, BASIS + k] = numbers[d, LAST + k]


@njit(cache=True, nogil=True, error_model="numpy")
def _relative_error(x, said, d, numbers, one):  # type: ignore[no-untyped-def]
    """A summand of equation 1."""
    away = abs(x - said)
    if away == 0.0:
        return 0.0
    error = away / max(abs(x), one if one > 0.0 else np.sqrt(numbers[d, SEEN + 2] / numbers[d, SEEN]))
    return error if error < _LARGEST_ERROR else _LARGEST_ERROR


@njit(cache=True, nogil=True, error_model="numpy")
def _scale(d, numbers, three):  # type: ignore[no-untyped-def]
    """Lowest value and range of the three numbers at this place; a range of 0 where they are no basis for an LSTM."""
    y0, y1, y2 = numbers[d, three], numbers[d, three + 1], numbers[d, three + 2]
    low = min(y0, y1, y2)
    width = max(y0, y1, y2) - low
    return low, width if width < np.inf else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _copy(source, target):  # type: ignore[no-untyped-def]
    """A loop: numba takes three seconds to compile target[:] = source."""
    for k in range(source.shape[0]):
        target[k] = source[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _train(model, d, numbers, three, training):  # type: ignore[no-untyped-def]
    (epochs, learning_rate, stop_loss, _), initial, _, room, _, _ = training
    low, width = _scale(d, numbers, three)
    if width > 0.0:
        _copy(initial, model)
        train(model, (numbers[d, three : three + 3] - low) / width, epochs, learning_rate, stop_loss, room)


@njit(cache=True, nogil=True, error_model="numpy")
def _say(model, d, numbers, three, room):  # type: ignore[no-untyped-def]
    """What follows the last three values, by a model that was trained on the three at this place."""
    low, width = _scale(d, numbers, three)
    if width == 0.0:
        return numbers[d, three + 2]
    y0, y1, y2 = (
        (numbers[d, LAST] - low) / width,
        (numbers[d, LAST + 1] - low) / width,
        (numbers[d, LAST + 2] - low) / width,
    )
    return low + width * predict(model, y0, y1, y2, room)


@njit(cache=True, nogil=True, error_model="numpy")
def _threshold(d, error, others, numbers):  # type: ignore[no-untyped-def]
    """AARE of this row (eq. 1) and the threshold over the window that it completes (eq. 2)."""
    aare = np.float64(np.float32((numbers[d, ERRORS] + numbers[d, ERRORS + 1] + error) / 3.0))
    number = others[0] + 1.0
    mean = ((others[1] + aare) + others[2]) / number
    square = ((others[3] + aare * aare) + others[4]) / number
    return aare, (mean + 3.0 * np.sqrt(max(square - mean * mean, 0.0))) * (1.0 + SLACK)


@njit(cache=True, nogil=True, error_model="numpy")
def _sums_of_others(d, numbers, counts, history):  # type: ignore[no-untyped-def]
    """Number, sum and sum of squares of the AAREs that share the window with the next; each sum with its error."""
    rows, pushed = history.shape[1], counts[d, PUSHED]
    total, total_error = numbers[d, SUMS], numbers[d, SUMS + 1]
    squares, squares_error = numbers[d, SUMS + 2], numbers[d, SUMS + 3]
    if pushed < rows:
        return np.float64(pushed), total, total_error, squares, squares_error
    oldest = np.float64(history[d, pushed % rows])
    total, total_error = _exact_sum(total, total_error, -oldest)
    squares, squares_error = _exact_sum(squares, squares_error, -oldest * oldest)
    return np.float64(rows - 1), total, total_error, squares, squares_error


@njit(cache=True, nogil=True, error_model="numpy")
def _push(d, aare, others, numbers, counts, history):  # type: ignore[no-untyped-def]
    history[d, counts[d, PUSHED] % history.shape[1]] = aare
    counts[d, PUSHED] += 1
    numbers[d, SUMS], numbers[d, SUMS + 1] = _exact_sum(others[1], others[2], aare)
    numbers[d, SUMS + 2], numbers[d, SUMS + 3] = _exact_sum(others[3], others[4], aare * aare)


@njit(cache=True, nogil=True, error_model="numpy")
def _exact_sum(total, error, x):  # type: ignore[no-untyped-def]
    """total + error + x as (sum, error), exact to 106 bits (Knuth's two-sum): the sums over the window do not drift."""
    raw = total + x
    back = raw - total
    error += (total - (raw - back)) + (x - back)
    exact = raw + error
    return exact, error - (exact - raw)


@njit(cache=True, nogil=True, error_model="numpy")
def train_again(training, models, numbers):  # type: ignore[no-untyped-def]
    """The weights of all models from the values they were trained on."""
    for d in range(models.shape[0]):
        _train(models[d], d, numbers, BASIS, training)
