"""The triggers by name: a new one is one file and one line here."""

from collections.abc import Callable, Sequence

from detectors.causes.change import ChangeTrigger
from detectors.causes.mssa import MssaTrigger
from detectors.causes.settings import CausesSettings
from detectors.causes.trigger import TriggerDetector

TRIGGERS: dict[str, Callable[[Sequence[str], CausesSettings], TriggerDetector | None]] = {
    "change": lambda variables, s: ChangeTrigger(variables, s) if s.change.enabled else None,
    "mssa": lambda variables, s: MssaTrigger(len(variables), s.mssa) if s.mssa.enabled else None,
}


def build_triggers(variables: Sequence[str], settings: CausesSettings) -> list[TriggerDetector]:
    """Those that the settings enable."""
    built = (make(variables, settings) for make in TRIGGERS.values())
    return [trigger for trigger in built if trigger is not None]
