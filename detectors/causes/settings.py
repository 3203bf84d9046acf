"""The options of root-cause analysis, one set of defaults for every system.

Plain types only, so that a user's YAML converts into them. Numbers that rest on measurements say so; those that the
CORAL paper leaves open are ours.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """The trigger that watches single variables, alone and given the others."""

    enabled: bool = True
    rows_per_false_alarm: int = 300  # the promised rate: one false trigger in so many quiet rows
    prior_threshold: float = 3.0  # used, and marked as uncalibrated, until there are enough quiet rows
    cap: float = 9.0  # of a variable's log exceedance: one variable cannot outvote all others


@dataclass(frozen=True, slots=True)
class MssaSettings:
    """The trigger that watches the system's course as a whole: multivariate SSA + CUSUM."""

    enabled: bool = True
    window: int = 12  # L, rows of a lag vector
    columns: int = 10  # C, lag vectors of the base: the base spans L * C rows
    energy: float = 0.95  # share of the base's energy kept by its leading subspace
    h0: float = 5.0  # CUSUM limit in units of eps
    moving: bool = False  # rebuild the base as rows pass, not only after a trigger


@dataclass(frozen=True, slots=True)
class EvidenceSettings:
    """How far each variable strayed, alone and given the others."""

    guard_rows: int = 120  # rows before the change that are no baseline; at most a quarter of them
    peer_floor: float = 0.03  # of the MAD over the medians of the columns with the same metric name
    ridge: float = 0.03  # of the conditional model, at least; more where there are few quiet rows for the variables
    rows_after: int = 1440  # most rows of the change that are looked at


@dataclass(frozen=True, slots=True)
class WalkSettings:
    """Random walk with restart (CORAL's network propagation).

    kpi: variables, or entities with all of theirs, whose trouble is to be explained, as in the paper: the walk starts
        from those, gives them no score, and the way is told to one of them where it leads there. Names that a system
        has not are passed over; without any, it starts from whatever deviates.
    """

    kpi: tuple[str, ...] = ()
    weight: float = 0.0  # of the walk in the ranking; 0: shown as evidence only
    backward: float = 0.01  # rho
    restart: float = 0.05


@dataclass(frozen=True, slots=True)
class LearningSettings:
    """The learned causal graph: lagged linear, acyclic within a row.

    form: joint learns one graph from the quiet rows and the episode's together; disentangled tells relations that hold
        in both states from those that there are since the change, or that ended with it, at two times the cost, and
        four times at an episode's first update.
    """

    enabled: bool = True
    form: Literal["joint", "disentangled"] = "joint"
    max_variables: int = 200  # wider systems keep the given graph only
    iterations: int = 90  # in all, of one update; the next one goes on from there
    lags: int = 3
    candidates: int = 32  # of each variable, those it correlates with most, now or earlier; given ones come on top
    sparsity: float = 0.8  # penalty of an edge, in units of what chance makes: sqrt(2 log(D (lags + 1)) / rows)
    prune: float = 0.1  # smallest standardised weight of an edge


@dataclass(frozen=True, slots=True)
class EpisodeSettings:
    """When a ranking is revised and when it is finished."""

    open_on_verdict: bool = True
    batch_rows: int = 16  # revisions after 1 and 4 rows, then every so many
    max_batches: int = 50
    top: int = 5
    overlap: float = 0.9  # rank-biased overlap of consecutive lists
    agreements: int = 2  # so many times in a row


@dataclass(frozen=True, slots=True)
class CausesSettings:
    """Everything about triggers, causal graph and ranked causes.

    history_rows: quiet rows kept as the baseline, per system.
    accept_rows: a change that lasts so long is the new normal, and is learned.
    unknown_below: an answer with less confidence than this, 0 to 1, is "unknown"; the list of causes stays. 0: only
        what no variable strays for is. Below .5 something speaks against the answer: half of the quiet rows alone
        would name another entity, another strays further given the rest, or nearly all stray alike. On six labelled
        sets .5 refuses at most .13 of the right answers; how high it may be beyond that differs between systems.
    """

    enabled: bool = True
    history_rows: int = 1440
    accept_rows: int = 360
    unknown_below: float = 0.5
    change: ChangeSettings = field(default_factory=ChangeSettings)
    mssa: MssaSettings = field(default_factory=MssaSettings)
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)
    walk: WalkSettings = field(default_factory=WalkSettings)
    learning: LearningSettings = field(default_factory=LearningSettings)
    episode: EpisodeSettings = field(default_factory=EpisodeSettings)

    def __post_init__(self) -> None:
        if not 0.0 <= self.unknown_below <= 1.0:
            raise ValueError(f"unknown_below must be between 0 and 1, got {self.unknown_below}")
