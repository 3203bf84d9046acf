"""PySAD's LODA, where PySAD is installed: `make bench` puts it into build/bench, apart from what the tests see."""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

WITHOUT = "PySAD is not installed: `make bench` does that (the dependency group bench)"


def loda() -> Callable[[np.ndarray], None] | None:
    """Steps rows (T, D): score, then learn; 100 projections, as ours. None without PySAD."""
    if find_spec("pysad") is None:
        return None
    from pysad.models import LODA

    model = LODA(num_random_cuts=100, random_state=1)

    def step(rows: np.ndarray) -> None:
        for row in rows:
            model.score_partial(row)
            model.fit_partial(row)

    return step
