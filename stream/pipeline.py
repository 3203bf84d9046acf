"""Systems and their monitors: readings in, findings out. No I/O, no clock; the same rows give the same findings."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from detectors.block import Block, FloatArray, IntArray, State
from detectors.findings import Findings
from stream.align import Aligned, Aligner
from stream.errors import StateError
from stream.event_time import to_text
from stream.incidents import Incidents
from stream.records import FindingRecord, Time
from stream.settings import AlignSettings, IncidentSettings
from stream.sources.protocol import Readings, Reject


class SystemMonitor(Protocol):
    """What the pipeline asks of detectors.monitor.Monitor."""

    @property
    def is_warm(self) -> bool: ...

    def step(self, block: Block) -> Findings: ...

    def state(self) -> State: ...

    def load_state(self, state: State) -> None: ...


class ShadowScorer(Protocol):
    """An opinion without a vote: rows are offered, scores are taken when they are ready. It never makes anyone wait."""

    def offer(self, times: IntArray, values: FloatArray, normal: Any) -> None: ...

    def take(self) -> dict[int, float]:
        """Score by the row's time of the rows that were scored since the last call; 1.0 is the line."""

    def state(self) -> State: ...

    def load_state(self, state: State) -> None: ...


MakeMonitor = Callable[[tuple[str, ...]], SystemMonitor]
MakeShadow = Callable[[tuple[str, ...]], ShadowScorer | None]


@dataclass(frozen=True, slots=True)
class Step:
    """T rows of one system and what its monitor made of them."""

    system: str
    partition: str
    variables: tuple[str, ...]
    rows: Block
    findings: Findings


@dataclass(slots=True)
class Outcome:
    """What some readings led to. shadow: (system, time, score) of rows that the background scored meanwhile."""

    steps: list[Step] = field(default_factory=list)
    records: list[FindingRecord] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    shadow: list[tuple[str, int, float]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(len(step.rows) for step in self.steps)


@dataclass(frozen=True, slots=True)
class SystemState:
    """A system's state: plain is what JSON holds, arrays what numpy holds."""

    plain: dict[str, Any]
    arrays: State


class Pipeline:
    """All systems of this process, each with its aligner, its monitor and its incidents.

    make_monitor: variables -> a monitor; make_shadow: variables -> a background scorer or None.
    format_time: how records write a time.
    """

    def __init__(
        self,
        make_monitor: MakeMonitor,
        *,
        align: AlignSettings | None = None,
        incidents: IncidentSettings | None = None,
        make_shadow: MakeShadow = lambda variables: None,
        config_hash: str = "",
        format_time: Callable[[int], Time] = to_text,
    ) -> None:
        self._make_monitor = make_monitor
        self._make_shadow = make_shadow
        self._align = align or AlignSettings()
        self._incidents = incidents or IncidentSettings()
        self._config_hash = config_hash
        self._format_time = format_time
        self._systems: dict[tuple[str, str], _System] = {}

    def process(self, readings: Iterable[Readings], *, now: int | None = None) -> Outcome:
        """Step every system through its new rows. now: wall clock in ns, to refuse readings from the future."""
        outcome = Outcome()
        waiting: dict[tuple[str, str], list[Aligned]] = {}
        for reading in readings:
            key = reading.partition, reading.system
            aligned = self._system(key).aligner.add(reading, now=now)
            outcome.rejects += aligned.rejects
            if len(aligned.rows):
                waiting.setdefault(key, []).append(aligned)
        for key, pieces in waiting.items():
            self._systems[key].step(pieces, outcome)
        return outcome

    def finish(self) -> Outcome:
        """The input ended: the last open rows, and where open incidents stand."""
        outcome = Outcome()
        for system in self._systems.values():
            last = system.aligner.flush()
            if len(last.rows):
                system.step([last], outcome)
            outcome.records += system.incidents.finish()
        return outcome

    def _system(self, key: tuple[str, str]) -> "_System":
        if key not in self._systems:
            partition, name = key
            incidents = Incidents(
                name,
                self._incidents,
                partition=partition,
                config_hash=self._config_hash,
                format_time=self._format_time,
            )
            self._systems[key] = _System(key, Aligner(self._align), incidents, self._make_monitor, self._make_shadow)
        return self._systems[key]

    def __len__(self) -> int:
        """Systems known."""
        return len(self._systems)

    @property
    def open_incidents(self) -> int:
        return sum(system.incidents.is_open for system in self._systems.values())

    @property
    def warming(self) -> int:
        """Systems that cannot give a verdict yet."""
        return sum(system.monitor is None or not system.monitor.is_warm for system in self._systems.values())

    def partitions(self) -> set[str]:
        return {partition for partition, _ in self._systems}

    def state(self, partition: str) -> dict[str, SystemState]:
        """System -> state, of one partition."""
        return {name: system.state() for (place, name), system in self._systems.items() if place == partition}

    def load_state(self, partition: str, states: Mapping[str, SystemState]) -> None:
        """Replace what is known of a partition. Raises StateError for a state that does not fit."""
        self.drop(partition)
        for name, state in states.items():
            try:
                self._system((partition, name)).load_state(state)
            except (KeyError, ValueError, TypeError, IndexError) as error:
                self.drop(partition)
                raise StateError(f"the state of system {name} does not fit this version: {error!r}") from error

    def drop(self, partition: str) -> None:
        """Forget a partition's systems: another process owns them now."""
        for key in [key for key in self._systems if key[0] == partition]:
            del self._systems[key]


class _System:
    def __init__(
        self,
        key: tuple[str, str],
        aligner: Aligner,
        incidents: Incidents,
        make_monitor: MakeMonitor,
        make_shadow: MakeShadow,
    ) -> None:
        self._key = key
        self.aligner = aligner
        self.incidents = incidents
        self.monitor: SystemMonitor | None = None  # until the variables are known
        self._shadow: ShadowScorer | None = None
        self._make_monitor = make_monitor
        self._make_shadow = make_shadow

    def step(self, pieces: list[Aligned], outcome: Outcome) -> None:
        rows = Block(
            np.concatenate([piece.rows.times for piece in pieces]),
            np.concatenate([piece.rows.values for piece in pieces]),
        )
        offsets = np.concatenate([piece.offsets for piece in pieces])
        findings = self._begin().step(rows)
        shadow = self._ask_shadow(rows, findings)
        partition, name = self._key
        outcome.steps.append(Step(name, partition, self.aligner.variables or (), rows, findings))
        outcome.records += self.incidents.follow(findings, offsets, shadow=shadow)
        outcome.shadow += [(name, time, score) for time, score in shadow.items()]

    def _begin(self) -> SystemMonitor:
        if self.monitor is None:
            variables = self.aligner.variables or ()
            self.monitor = self._make_monitor(variables)
            self._shadow = self._make_shadow(variables)
        return self.monitor

    def _ask_shadow(self, rows: Block, findings: Findings) -> dict[int, float]:
        if self._shadow is None:
            return {}
        self._shadow.offer(rows.times, rows.values, findings.normal)
        return self._shadow.take()

    def state(self) -> SystemState:
        plain = {"align": self.aligner.state(), "incidents": self.incidents.state()}
        return SystemState(plain, {} if self.monitor is None else self.monitor.state())

    def load_state(self, state: SystemState) -> None:
        self.aligner.load_state(state.plain["align"])
        self.incidents.load_state(state.plain["incidents"])
        if state.arrays:
            self._begin().load_state(state.arrays)
