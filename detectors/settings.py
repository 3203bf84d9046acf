"""The options of a monitor, one set of defaults for every system, and the presets that choose its detectors.

Plain types in frozen dataclasses, so that a config file converts into them by reflection. The parts' own options stand
beside the parts.
"""

from dataclasses import dataclass, field
from typing import Literal

from detectors.causes.settings import CausesSettings
from detectors.combine.attribution import AttributionSettings
from detectors.combine.calibration import CalibrationSettings
from detectors.combine.counterfactual import CounterfactualSettings
from detectors.combine.evidence import EvidenceSettings
from detectors.combine.guard import GuardSettings
from detectors.combine.line import LineSettings
from detectors.combine.polling import PollingSettings
from detectors.combine.rules import RULES
from detectors.intake import IntakeSettings
from detectors.online.registry import DetectorSettings
from detectors.silence import SilenceSettings


@dataclass(frozen=True, slots=True)
class Preset:
    """Which detectors run, which of them vote for the whole row, and by which rule; calibrated, damped and guarded?"""

    detectors: tuple[str, ...]
    voters: tuple[str, ...]
    rule: str
    own_learning: bool = False  # the detectors' own, at the row: the guard does not reach it, nor does damping the line


PRESETS: dict[str, Preset] = {
    "team": Preset(("neighbours", "autoregression", "ewma"), ("neighbours", "autoregression"), "weighted"),
    "rola": Preset(("repad2",), (), "polling", own_learning=True),
    "majority": Preset(
        ("repad2", "ewma", "autoregression", "half_space_trees"), ("autoregression", "half_space_trees"), "polling"
    ),
    "full": Preset(
        ("neighbours", "autoregression", "ewma", "repad2", "half_space_trees"),
        ("neighbours", "autoregression"),
        "weighted",
    ),
}


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """Everything about one system's monitor.

    preset: team = the default, whatever measured best; rola = the paper's system alone, RePAD2 and polling; majority =
        several detectors inside each variable, then polling; full = the team, and all others as reported voters.
    rule: overrides the preset's rule.
    warmup_rows: rows before the first verdict.
    other_rules: tell with each verdict what the other rules would have said. Polling keeps 8 polling.window_rows bytes
        a variable for it.
    smoothing: weight of a new row in the published score; the verdict is made of the unsmoothed one.
    """

    preset: Literal["team", "rola", "majority", "full"] = "team"
    rule: Literal["weighted", "majority", "polling", "any"] | None = None
    warmup_rows: int = 50
    smoothing: float = 0.5
    other_rules: bool = True
    detectors: DetectorSettings = field(default_factory=DetectorSettings)
    intake: IntakeSettings = field(default_factory=IntakeSettings)
    silence: SilenceSettings = field(default_factory=SilenceSettings)
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)
    line: LineSettings = field(default_factory=LineSettings)
    guard: GuardSettings = field(default_factory=GuardSettings)
    polling: PollingSettings = field(default_factory=PollingSettings)
    attribution: AttributionSettings = field(default_factory=AttributionSettings)
    counterfactual: CounterfactualSettings = field(default_factory=CounterfactualSettings)
    causes: CausesSettings = field(default_factory=CausesSettings)

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {self.preset!r}")
        if self.rule is not None and self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, got {self.rule!r}")
        if self.warmup_rows < 1:
            raise ValueError(f"warmup_rows must be at least 1, got {self.warmup_rows}")
        if not 0 < self.smoothing <= 1:
            raise ValueError(f"smoothing must be above 0 and at most 1, got {self.smoothing}")
