"""Recursive least squares with forgetting, for many variables side by side (Haykin, Adaptive Filter Theory, ch. 10).

All arrays end in D, so that the innermost loops run over the variables and become vector instructions. No branches: a
variable that has nothing to learn in a row has weight 0, which leaves it as it was, bit for bit.

Forgetting winds up on constant input: nothing comes in, the covariance grows without bound, and all ends in NaN. So its
trace is capped, and its diagonal has a floor (ours).
"""

import numpy as np
from numba import njit

from detectors.block import FloatArray

START = 10.0  # diagonal of the covariance at the start; times the coefficients, the largest trace
LEAST = 1e-9  # floor of the diagonal


def new_covariance(coefficients: int, variables: int) -> FloatArray:
    """(n, n, D) covariances that know nothing."""
    return np.repeat(np.eye(coefficients)[:, :, None] * START, variables, axis=2)


@njit(cache=True, nogil=True, error_model="numpy")
def update(
    theta: FloatArray,
    cov: FloatArray,
    phi: FloatArray,
    errors: FloatArray,
    weights: FloatArray,
    forget: float,
    gain: FloatArray,
    share: FloatArray,
) -> None:
    """One row. theta, phi: (n, D) coefficients and regressors. errors: (D,) of the prediction. weights: (D,).

    forget: share of the past that a row of weight 1 displaces.  gain: (n, D), share: (D,) work space.
    """
    n, variables = theta.shape
    share[:] = 0.0
    for i in range(n):
        for j in range(variables):
            gain[i, j] = 0.0
        for k in range(n):
            for j in range(variables):
                gain[i, j] += cov[i, k, j] * phi[k, j]
        for j in range(variables):
            share[j] += phi[i, j] * gain[i, j]
    for j in range(variables):
        share[j] = weights[j] / (1.0 - forget * weights[j] + weights[j] * share[j])
    for i in range(n):
        for j in range(variables):
            theta[i, j] += gain[i, j] * errors[j] * share[j]
        for k in range(n):
            for j in range(variables):
                cov[i, k, j] = (cov[i, k, j] - gain[i, j] * gain[k, j] * share[j]) / (1.0 - forget * weights[j])
    _bound(cov, share)


@njit(cache=True, nogil=True, error_model="numpy")
def _bound(cov: FloatArray, trace: FloatArray) -> None:
    """Floor the diagonals and cap the traces. trace: (D,) work space."""
    n, variables = cov.shape[0], cov.shape[2]
    trace[:] = 0.0
    for i in range(n):
        for j in range(variables):
            cov[i, i, j] = max(cov[i, i, j], LEAST)
            trace[j] += cov[i, i, j]
    for j in range(variables):
        trace[j] = min(1.0, n * START / trace[j])
    for i in range(n):
        for k in range(n):
            for j in range(variables):
                cov[i, k, j] *= trace[j]
