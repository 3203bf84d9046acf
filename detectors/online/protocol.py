"""What every online detector is: it scores rows against what it had learned, and learns them later, weighted."""

from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

from detectors.block import FloatArray, Rows, State


class Scores(NamedTuple):
    """One detector's opinion of T rows. Higher is more anomalous; finite and >= 0.

    members: (T, M) one column for each of the detector's row-wise members (M may be 0).
    variables: (T, D) one score a variable, or None if the detector only judges whole rows.
    expected: (T, D) the values it expected, in the units of the input, or None. Where given, the variable's score is
        proportional to how far the reading is from it: the bounds of a verdict are made of that.
    fresh: (T,) what this row alone says, free of any memory of the rows before it, or None (see combine.evidence).
    """

    members: FloatArray
    variables: FloatArray | None = None
    expected: FloatArray | None = None
    fresh: FloatArray | None = None


@runtime_checkable
class Detector(Protocol):
    """One online detector over the D variables of one system.

    The carry (lags, moving averages) follows the rows and advances in :meth:`score`; the model changes only in
    :meth:`learn`, which gets exactly the rows scored since the last call. Scoring must give the same bits however the
    rows are cut into calls. A detector whose paper learns by its own rule at the row (RePAD2) keeps that in its carry.

    calibrated: True if the score already has its line at 1.0; else the monitor calibrates it (combine.calibration).
    """

    @property
    def name(self) -> str: ...  # most say it once for their class

    members: ClassVar[tuple[str, ...]]
    per_variable: ClassVar[bool]
    calibrated: ClassVar[bool]

    def score(self, rows: Rows) -> Scores: ...

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        """Learn the rows with weights (T,) in [0, 1]; 0 leaves the model as it was."""

    def state(self) -> State: ...

    def load_state(self, state: State) -> None: ...


@runtime_checkable
class Rewindable(Detector, Protocol):
    """A detector that can score a row again as if it had been another one: what a counterfactual asks of its voters."""

    def carry(self) -> State:
        """A copy of all that :meth:`Detector.score` changes; taken before every piece of rows, so it must be small."""

    def load_carry(self, carry: State) -> None: ...
