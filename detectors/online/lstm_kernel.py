"""The LSTM of RePAD2, small enough to be trained inside the row: three values in, the next value out.

One layer of H = 10 units and a linear head, trained from the same initial weights each time on three consecutive values
y0, y1, y2: it reads y0 and y1 and is to say y1 and y2. Full batch, squared error, Adam, at most `epochs` steps. To
predict, it reads three values and says the fourth. All parameters of a model lie in one flat array:

    [0, 40)     input weights, gates in the order i, f, g, o
    [40, 80)    biases of the gates (the sum of torch's two)
    [80, 480)   recurrent weights, (H, 4 H), one row for each unit that is read
    [480, 490)  head weights
    490         head bias

The logistic function and tanh are our own, of additions, products and a division: the same bits on every machine, in
loops that the compiler turns into vectors. Everything is float64: Adam divides a gradient by its own size, so that in
float32 the rounding noise of a vanishing gradient becomes a full step.
"""

from math import factorial

import numpy as np
from numba import njit

from detectors.block import FloatArray

UNITS = 10
GATES = 4 * UNITS
PARAMETERS = GATES * (UNITS + 2) + UNITS + 1
_BIAS, _RECURRENT, _HEAD, _OFFSET = GATES, 2 * GATES, 2 * GATES + UNITS * GATES, PARAMETERS - 1

# torch keeps two biases a gate. Both get the same gradient and so the same Adam step: their sum moves twice as far.
_STEPS = np.ones(PARAMETERS)
_STEPS[_BIAS:_RECURRENT] = 2.0

# The logistic function for the gates i, f, o; tanh(z) = 2 logistic(2 z) - 1 for the gate g.
_SHARP = np.ones(GATES)
_SHARP[2 * UNITS : 3 * UNITS] = 2.0

# Where things stand in a row of the room, behind the gates: cells, tanh of the cells, hidden. Units are dealt with in
# twelves, whole vectors; what the two that are none make of their neighbours' numbers is read by nobody.
_LANES = 12
_CELL, _SQUASHED, _HIDDEN = GATES + 4, GATES + 4 + _LANES, GATES + 4 + 2 * _LANES
_STEP = GATES + 4 + 3 * _LANES

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8  # Adam's customary values
_LARGEST = 40.0  # |z| beyond which the logistic function is 0 or 1 to the last digit
_HALVINGS = 8  # exp(y) = exp(y / 2^8)^(2^8), and |y / 2^8| <= 0.16 leaves the series below an error of 3e-15
_E2, _E3, _E4, _E5, _E6, _E7, _E8, _E9 = (1.0 / factorial(k) for k in range(2, 10))


def initial_parameters(rng: np.random.Generator) -> FloatArray:
    """Parameters (491,) as torch draws them, uniform within 1 / sqrt(H); the two biases of a gate are added.

    >>> initial_parameters(np.random.default_rng(140)).shape
    (491,)
    """
    limit = UNITS**-0.5
    parameters = rng.uniform(-limit, limit, PARAMETERS)
    parameters[_BIAS:_RECURRENT] += rng.uniform(-limit, limit, GATES)
    return parameters


@njit(cache=True, nogil=True, error_model="numpy")
def _root_of_exp(z):  # type: ignore[no-untyped-def]
    """exp(-z / 2^8) for |z| <= 40."""
    y = -min(max(z, -_LARGEST), _LARGEST) / 2.0**_HALVINGS
    y2 = y * y
    y4 = y2 * y2
    return ((1.0 + y) + y2 * (_E2 + _E3 * y)) + y4 * ((_E4 + _E5 * y) + y2 * (_E6 + _E7 * y) + y4 * (_E8 + _E9 * y))


@njit(cache=True, nogil=True, error_model="numpy")
def _logistic_of_root(e):  # type: ignore[no-untyped-def]
    """1 / (1 + e^(2^8))"""
    for _ in range(_HALVINGS):
        e *= e
    return 1.0 / (1.0 + e)


@njit(cache=True, nogil=True, error_model="numpy")
def logistic(z):  # type: ignore[no-untyped-def]
    """1 / (1 + exp(-z)) to a relative 3e-13, for any finite z."""
    return _logistic_of_root(_root_of_exp(z))


def new_room() -> FloatArray:
    """(4, 80) what a pass over the steps leaves behind, to be handed in, so that no kernel allocates: row t + 1 is of
    time step t; row 0 is what the first one starts from, and stays zero."""
    return np.zeros((4, _STEP))


@njit(cache=True, nogil=True, error_model="numpy")
def _forward(parameters, t, x, room):  # type: ignore[no-untyped-def]
    """Time step t with the input x, in loops that the compiler makes vectors of."""
    before, now = room[t], room[t + 1]
    lanes = (now.shape[0] - _CELL) // 3  # 12, which the compiler must not know: it would unroll the loops instead
    for j in range(GATES):
        z = parameters[_BIAS + j] + x * parameters[j]
        if t > 0:
            for k in range(UNITS):
                z += before[_HIDDEN + k] * parameters[_RECURRENT + k * GATES + j]
        now[j] = _SHARP[j] * z
    for j in range(GATES):
        now[j] = _root_of_exp(now[j])
    for j in range(GATES):
        now[j] = _SHARP[j] * _logistic_of_root(now[j]) - (_SHARP[j] - 1.0)
    for k in range(lanes):
        now[_CELL + k] = now[UNITS + k] * before[_CELL + k] + now[k] * now[2 * UNITS + k]
    for k in range(lanes):
        now[_SQUASHED + k] = 2.0 * logistic(2.0 * now[_CELL + k]) - 1.0
    for k in range(lanes):
        now[_HIDDEN + k] = now[3 * UNITS + k] * now[_SQUASHED + k]


@njit(cache=True, nogil=True, error_model="numpy")
def _say(parameters, t, room):  # type: ignore[no-untyped-def]
    """What the head says after time step t."""
    y = parameters[_OFFSET]
    for k in range(UNITS):
        y += parameters[_HEAD + k] * room[t + 1, _HIDDEN + k]
    return y


@njit(cache=True, nogil=True, error_model="numpy")
def predict(parameters, y0, y1, y2, room):  # type: ignore[no-untyped-def]
    """The value that follows three scaled values. room: see :func:`new_room`."""
    _forward(parameters, 0, y0, room)
    _forward(parameters, 1, y1, room)
    _forward(parameters, 2, y2, room)
    return _say(parameters, 2, room)


@njit(cache=True, nogil=True, error_model="numpy")
def _backward(t, room, d_hidden, d_cell, d_gates):  # type: ignore[no-untyped-def]
    """Back through time step t: d_gates[t] (4 H,) are the gradients at the gates' inputs; d_cell (H,) comes in from the
    step after and goes out to the step before."""
    before, now = room[t], room[t + 1]
    for k in range(UNITS):
        i, f, g, o = now[k], now[UNITS + k], now[2 * UNITS + k], now[3 * UNITS + k]
        squashed = now[_SQUASHED + k]
        d = d_cell[k] + d_hidden[k] * o * (1.0 - squashed * squashed)
        d_gates[t, k] = d * g * i * (1.0 - i)
        d_gates[t, UNITS + k] = d * before[_CELL + k] * f * (1.0 - f)
        d_gates[t, 2 * UNITS + k] = d * i * (1.0 - g * g)
        d_gates[t, 3 * UNITS + k] = d_hidden[k] * squashed * o * (1.0 - o)
        d_cell[k] = d * f


@njit(cache=True, nogil=True, error_model="numpy")
def _through_recurrent(parameters, d_gates, k):  # type: ignore[no-untyped-def]
    """What comes back from step 1 to unit k through the recurrent weights; four sums side by side, for speed."""
    row = _RECURRENT + k * GATES
    a = b = c = d = 0.0
    for j in range(UNITS):
        a += parameters[row + j] * d_gates[1, j]
        b += parameters[row + UNITS + j] * d_gates[1, UNITS + j]
        c += parameters[row + 2 * UNITS + j] * d_gates[1, 2 * UNITS + j]
        d += parameters[row + 3 * UNITS + j] * d_gates[1, 3 * UNITS + j]
    return (a + b) + (c + d)


@njit(cache=True, nogil=True, error_model="numpy")
def _gradient(parameters, y, room, back, gradient):  # type: ignore[no-untyped-def]
    """Gradient (491,) of the mean squared error of saying y[1] after y[0], then y[2] after y[1]; returns that error."""
    d_hidden, d_cell, d_gates, errors = back
    for t in range(2):
        _forward(parameters, t, y[t], room)
        errors[t] = _say(parameters, t, room) - y[t + 1]
    d_cell[:] = 0.0
    for t in range(1, -1, -1):
        for k in range(UNITS):
            d_hidden[k] = errors[t] * parameters[_HEAD + k]
            if t == 0:
                d_hidden[k] += _through_recurrent(parameters, d_gates, k)
        _backward(t, room, d_hidden, d_cell, d_gates)

    for j in range(GATES):
        gradient[j] = y[0] * d_gates[0, j] + y[1] * d_gates[1, j]
        gradient[_BIAS + j] = d_gates[0, j] + d_gates[1, j]
    for k in range(UNITS):
        h, row = room[1, _HIDDEN + k], _RECURRENT + k * GATES
        gradient[_HEAD + k] = errors[0] * h + errors[1] * room[2, _HIDDEN + k]
        for j in range(GATES):
            gradient[row + j] = h * d_gates[1, j]
    gradient[_OFFSET] = errors[0] + errors[1]
    return 0.5 * (errors[0] * errors[0] + errors[1] * errors[1])


@njit(cache=True, nogil=True, error_model="numpy")
def _adam(parameters, gradient, mean, square, step, root):  # type: ignore[no-untyped-def]
    for j in range(PARAMETERS):
        mean[j] = _BETA1 * mean[j] + (1.0 - _BETA1) * gradient[j]
        square[j] = _BETA2 * square[j] + (1.0 - _BETA2) * (gradient[j] * gradient[j])
        parameters[j] -= _STEPS[j] * step * mean[j] / (np.sqrt(square[j]) / root + _EPSILON)


@njit(cache=True, nogil=True, error_model="numpy")
def train(parameters, y, epochs, learning_rate, stop_loss, room):  # type: ignore[no-untyped-def]
    """Train parameters (491,) in place on three scaled values y (3,); returns the number of steps taken.

    Stops before a step when the loss is below stop_loss (0: never). room: see :func:`new_room`.
    """
    back = np.empty(UNITS), np.empty(UNITS), np.empty((2, GATES)), np.empty(2)
    gradient, mean, square = np.empty(PARAMETERS), np.zeros(PARAMETERS), np.zeros(PARAMETERS)
    power1 = power2 = 1.0
    for epoch in range(epochs):
        if _gradient(parameters, y, room, back, gradient) < stop_loss:
            return epoch
        power1, power2 = power1 * _BETA1, power2 * _BETA2
        _adam(parameters, gradient, mean, square, learning_rate / (1.0 - power1), np.sqrt(1.0 - power2))
    return epochs
