"""One run of root-cause analysis: from the row that opened it, revision by revision, until its list has settled."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from detectors.block import FloatArray, IntArray, State
from detectors.causes.deviation import fit_baseline, standardise
from detectors.causes.evidence import ONSET_SIZE, Window
from detectors.causes.overlap import rank_biased_overlap
from detectors.causes.settings import EpisodeSettings, EvidenceSettings

OPENERS: tuple[Literal["trigger", "verdict"], ...] = ("trigger", "verdict")
EARLY_ROWS = (1, 4)  # rows of the revisions before the first full batch
WITNESSES = 3  # variables that tell the onset: those that stray furthest at the opening row


@dataclass(slots=True)
class Episode:
    """An open analysis. before (N, D) and between (G, D) are quiet rows ahead of the onset, after (T, D) all since.

    opened: ns, of the opening row.  onset: ns.  rows: since the opening row, itself included.  revision: of the next
    ranking.  leaders: the last list's first entities, by number; agreements: so many times in a row it stayed.
    """

    opened: int
    opened_by: Literal["trigger", "verdict"]
    onset: int
    before: FloatArray
    between: FloatArray
    after: FloatArray
    rows: int = 0
    revision: int = 0
    agreements: int = 0
    leaders: tuple[int, ...] = field(default=())

    @property
    def window(self) -> Window:
        return Window(self.before, self.between, self.after)

    def rows_until_due(self, settings: EpisodeSettings) -> int:
        """How many rows more until a revision is due: 1, at the next row."""
        batch = settings.batch_rows
        early = [row for row in EARLY_ROWS if self.rows < row < batch]
        return min([*early, self.rows - self.rows % batch + batch]) - self.rows

    def extend(self, rows: FloatArray, *, most: int) -> None:
        """Take in rows (n, D). After `most` rows the oldest are no longer looked at."""
        self.after = np.concatenate([self.after, rows])[-most:]
        self.rows += len(rows)

    def settle(self, leaders: tuple[int, ...], settings: EpisodeSettings) -> tuple[bool, bool]:
        """Note the newest list; (has it converged, is the episode over). A first batch of rows is always awaited."""
        agrees = rank_biased_overlap(leaders, self.leaders) >= settings.overlap and self.revision > 0
        self.agreements = self.agreements + 1 if agrees else 0
        self.leaders = leaders
        self.revision += 1
        converged = self.agreements >= settings.agreements
        return converged, (converged and self.rows >= settings.batch_rows) or self.revision >= settings.max_batches

    def state(self) -> State:
        numbers = [self.opened, OPENERS.index(self.opened_by), self.onset, self.rows, self.revision, self.agreements]
        return {
            "numbers": np.array(numbers, dtype=np.int64),
            "leaders": np.array(self.leaders, dtype=np.int64),
            "before": self.before.copy(),
            "between": self.between.copy(),
            "after": self.after.copy(),
        }

    @classmethod
    def of_state(cls, state: State) -> "Episode":
        opened, opener, onset, rows, revision, agreements = state["numbers"].tolist()
        before, between, after = (np.array(state[name]) for name in ("before", "between", "after"))
        leaders = tuple(state["leaders"].tolist())
        return cls(opened, OPENERS[opener], onset, before, between, after, rows, revision, agreements, leaders)


def open_episode(
    opened_by: Literal["trigger", "verdict"],
    quiet: FloatArray,
    quiet_times: IntArray,
    row: FloatArray,
    time: int,
    settings: EvidenceSettings,
) -> Episode:
    """An episode that begins at `row` (D,), taken at `time`; quiet (N, D) are the quiet rows known before it.

    The last quarter of them, at most guard_rows, is no baseline: an alarm comes late, and what came before it may
    belong to it. The onset is looked for there.
    """
    guard = min(settings.guard_rows, len(quiet) // 4)
    before, gap = quiet[: len(quiet) - guard], quiet[len(quiet) - guard :]
    baseline = fit_baseline(before, np.full(quiet.shape[1], -1), peer_floor=0.0)
    back = rows_since_onset(standardise(np.concatenate([gap, row[None]]), baseline))
    cut = len(gap) - back
    onset = int(quiet_times[len(quiet_times) - back]) if back else time
    return Episode(time, opened_by, onset, before.copy(), gap[:cut].copy(), gap[cut:].copy())


def rows_since_onset(z: FloatArray) -> int:
    """How many rows before the last one the change began: the longest run of |z| > 3 that ends in the last row.

    z: (G + 1, D). Only the variables that stray furthest at the last row bear witness, and none that strays through
    the whole gap: that is drift.

    >>> rows_since_onset(np.array([[0.0, 9.0], [0.0, 9.0], [4.0, 9.0], [8.0, 9.0]]))
    1
    """
    hot = np.abs(z) > ONSET_SIZE
    runs = np.where(hot.all(axis=0), 0, np.argmin(hot[::-1], axis=0))  # rows in a run that ends at the last
    witnesses = np.argsort(-np.abs(z[-1]) * (runs > 0), kind="stable")[:WITNESSES]
    return max(0, int(runs[witnesses].max(initial=0)) - 1)
