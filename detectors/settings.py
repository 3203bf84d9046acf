"""The options of a monitor, one set of defaults for every system, and the presets that choose its detectors.

Plain types in frozen dataclasses, so that a config file converts into them by reflection. The parts' own options stand
beside the parts.
"""

from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Literal

from detectors.causes.settings import CausesSettings
from detectors.combine.attribution import AttributionSettings
from detectors.combine.calibration import CalibrationSettings
from detectors.combine.counterfactual import CounterfactualSettings
from detectors.combine.drift import DriftSettings
from detectors.combine.evidence import EvidenceSettings
from detectors.combine.guard import GuardSettings
from detectors.combine.line import LineSettings
from detectors.combine.muting import MutingSettings
from detectors.combine.polling import PollingSettings
from detectors.combine.rules import RULES
from detectors.intake import IntakeSettings
from detectors.online.registry import DetectorSettings, known_detectors, members_of
from detectors.silence import SilenceSettings


@dataclass(frozen=True, slots=True)
class Preset:
    """Which detectors run, which of them vote for the whole row, and by which rule; calibrated, damped and guarded?

    wide: voters that join where a system has many variables.
    """

    detectors: tuple[str, ...]
    voters: tuple[str, ...]
    rule: str
    wide: tuple[str, ...] = ()
    own_learning: bool = False  # the detectors' own, at the row: the guard does not reach it, nor does damping the line


PRESETS: dict[str, Preset] = {
    "team": Preset(
        ("neighbours", "autoregression", "ewma"), ("neighbours", "autoregression"), "weighted", wide=("sparse",)
    ),
    "rola": Preset(("repad2",), (), "polling", own_learning=True),
    "majority": Preset(
        ("repad2", "ewma", "fast_ewma", "slow_ewma", "autoregression", "half_space_trees"),
        ("autoregression", "half_space_trees"),
        "polling",
    ),
    "full": Preset(
        (
            "neighbours",
            "autoregression",
            "ewma",
            "fast_ewma",
            "slow_ewma",
            "repad2",
            "half_space_trees",
            "principal",
            "loda",
            "sparse",
        ),
        ("neighbours", "autoregression"),
        "weighted",
        wide=("sparse",),
    ),
}


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """Everything about one system's monitor.

    preset: team = the default, whatever measured best; rola = the paper's system alone, RePAD2 and polling; majority =
        several detectors inside each variable, then polling; full = the team, and all others as reported voters.
    rule: overrides the preset's rule.
    voters: detectors whose opinion of the whole row votes, in place of the preset's; they run whether or not the preset
        has them. null = the preset's.
    wide: from so many variables on `sparse` votes with the preset's voters (team, full): it sees a fault of few
        variables among many.
    also: detectors that run besides, without a vote for the row: their opinion stands in the record of each verdict.
    slack_rows: votes of different voters count together within so many rows, where votes are counted (majority,
        polling); the other rules need none.
    warmup_rows: rows before the first verdict.
    other_rules: tell with each verdict what the other rules would have said. Polling keeps 8 polling.window_rows bytes
        a variable for it.
    smoothing: weight of a new row in the published score; the verdict is made of the unsmoothed one.
    """

    preset: Literal["team", "rola", "majority", "full"] = "team"
    rule: Literal["weighted", "majority", "polling", "any"] | None = None
    voters: tuple[str, ...] | None = None
    wide: int = 100
    also: tuple[str, ...] = ()
    slack_rows: int = 0
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
    drift: DriftSettings = field(default_factory=DriftSettings)
    muting: MutingSettings = field(default_factory=MutingSettings)
    polling: PollingSettings = field(default_factory=PollingSettings)
    attribution: AttributionSettings = field(default_factory=AttributionSettings)
    counterfactual: CounterfactualSettings = field(default_factory=CounterfactualSettings)
    causes: CausesSettings = field(default_factory=CausesSettings)

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {self.preset!r}")
        if self.rule is not None and self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, got {self.rule!r}")
        self._check_team()
        if self.wide < 1:
            raise ValueError(f"wide must be at least 1 variable, got {self.wide}")
        if self.slack_rows < 0:
            raise ValueError(f"slack_rows must be at least 0, got {self.slack_rows}")
        if self.warmup_rows < 1:
            raise ValueError(f"warmup_rows must be at least 1, got {self.warmup_rows}")
        if not 0 < self.smoothing <= 1:
            raise ValueError(f"smoothing must be above 0 and at most 1, got {self.smoothing}")

    def _check_team(self) -> None:
        known = known_detectors(self.detectors)
        for option, names in (("voters", self.voters or ()), ("also", self.also)):
            for name in names:
                if name not in known:
                    near = get_close_matches(name, known, n=1)
                    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                    raise ValueError(f"{option} must be names of detectors, got {name!r}; {hint}")
            if len(set(names)) < len(names):
                raise ValueError(f"{option} must name each detector once, got {', '.join(names)}")
        twice = [name for name in self.voters or () if name in self.also]
        if twice:
            raise ValueError(f"voters and also must name different detectors, got {twice[0]} in both")
        mute = [name for name in self.voters or () if not members_of(name)]
        if mute:
            raise ValueError(f"voters must judge whole rows; {mute[0]} judges single variables: name it in `also`")
        if self.voters == () and (self.rule or PRESETS[self.preset].rule) != "polling":
            raise ValueError("voters must name at least one detector, unless the rule is polling; null = the preset's")


def team(settings: MonitorSettings, variables: int = 1) -> Preset:
    """The preset with the user's choices, for a system of so many variables: who runs, in order, and who of them votes.

    >>> team(MonitorSettings(voters=("neighbours", "principal"), also=("loda",))).detectors
    ('neighbours', 'autoregression', 'ewma', 'principal', 'loda')
    """
    preset = PRESETS[settings.preset]
    wide = preset.wide if variables >= settings.wide else ()
    voters = preset.voters + wide if settings.voters is None else settings.voters
    voters += tuple(entry.name for entry in settings.detectors.river if entry.vote and entry.name not in voters)
    running = (*preset.detectors, *voters, *settings.also, *(entry.name for entry in settings.detectors.river))
    return replace(preset, detectors=tuple(dict.fromkeys(running)), voters=voters, rule=settings.rule or preset.rule)
