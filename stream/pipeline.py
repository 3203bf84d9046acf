"""Systems and their monitors: readings in, findings out. No I/O, no clock; the same rows give the same findings."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from detectors.block import Block, BoolArray, FloatArray, IntArray, State, nested, part
from detectors.combine.line import LineSettings
from detectors.findings import Findings, Standing
from detectors.warmup import WarmUp
from stream.align import Aligned, Aligner
from stream.canary_rows import is_canary
from stream.errors import StateError
from stream.event_time import to_text
from stream.incidents import Incidents
from stream.records import FindingRecord, IncidentRecord, Time
from stream.settings import AlignSettings, IncidentSettings
from stream.sources.protocol import Readings, Reject


class SystemMonitor(Protocol):
    """What the pipeline asks of detectors.monitor.Monitor."""

    @property
    def is_warm(self) -> bool: ...

    @property
    def standing(self) -> Standing: ...

    @property
    def warm_up(self) -> WarmUp: ...

    @property
    def silent(self) -> tuple[str, ...]: ...

    def step(self, block: Block) -> Findings: ...

    def set_line(self, settings: LineSettings) -> None: ...

    def state(self) -> State: ...

    def load_state(self, state: State) -> None: ...


class Background(Protocol):
    """Opinions without a vote on many systems: what the pipeline asks of detectors.background.worker.

    Rows are submitted, results are taken when they are there; nobody ever waits.
    """

    def submit(self, system: str, times: IntArray, values: FloatArray, normal: BoolArray) -> bool: ...

    def results(self) -> Iterable[tuple[str, int, float]]:
        """(system, time, score) of what was scored since the last call; 1.0 is the line."""

    def state(self, system: str) -> State: ...

    def load_state(self, system: str, state: State) -> None: ...

    def forget(self, system: str) -> None: ...


MakeMonitor = Callable[[tuple[str, ...]], SystemMonitor]


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
    """What some readings led to. shadow: the scores that the background made meanwhile, of these or earlier rows."""

    steps: list[Step] = field(default_factory=list)
    records: list[FindingRecord] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    shadow: list[float] = field(default_factory=list)

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

    make_monitor: variables -> a monitor.  format_time: how records write a time.
    background: gives opinions without a vote; background_id: its state is loaded only where this is the same.
    canary: what the names of canaries begin with. They are systems as all others, but page nobody, and what is told of
    the systems together leaves them out.
    """

    def __init__(
        self,
        make_monitor: MakeMonitor,
        *,
        align: AlignSettings | None = None,
        incidents: IncidentSettings | None = None,
        background: Background | None = None,
        background_id: str = "",
        config_hash: str = "",
        format_time: Callable[[int], Time] = to_text,
        canary: str = "",
    ) -> None:
        self._canary = canary
        self._make_monitor = make_monitor
        self._background = background
        self._background_id = background_id
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
            self._step(key, pieces, outcome)
        return outcome

    def use(
        self, make_monitor: MakeMonitor, *, incidents: IncidentSettings, line: LineSettings, config_hash: str
    ) -> None:
        """Other settings of incidents and of the line, from the next rows on. No state is lost.

        make_monitor: of the systems to come; it may differ from the one before in the line only.
        """
        self._make_monitor, self._incidents, self._config_hash = make_monitor, incidents, config_hash
        for system in self._systems.values():
            system.use(make_monitor, line)
            system.incidents.use(incidents, config_hash)

    def finish(self) -> Outcome:
        """The input ended: the last open rows, and where open incidents stand."""
        outcome = Outcome()
        for key, system in self._systems.items():
            last = system.aligner.flush()
            if len(last.rows):
                self._step(key, [last], outcome)
            outcome.records += system.incidents.finish()
        return outcome

    def _step(self, key: tuple[str, str], pieces: Sequence[Aligned], outcome: Outcome) -> None:
        system = self._systems[key]
        step, offsets = system.step(pieces)
        opinions = self._opinions(key, step, outcome)
        outcome.steps.append(step)
        outcome.records += system.incidents.follow(step.findings, offsets, shadow=opinions)

    def _opinions(self, key: tuple[str, str], step: Step, outcome: Outcome) -> dict[int, float]:
        """What the background says of this system's rows, by their times, as far as it has said it."""
        if self._background is None:
            return {}
        self._background.submit(_joined(key), step.rows.times, step.rows.values, step.findings.normal)
        results = list(self._background.results())
        outcome.shadow += [score for _, _, score in results]
        return {time: score for name, time, score in results if name == _joined(key)}

    def _system(self, key: tuple[str, str]) -> "_System":
        if key not in self._systems:
            partition, name = key
            incidents = Incidents(
                name,
                self._incidents,
                partition=partition,
                config_hash=self._config_hash,
                format_time=self._format_time,
                is_canary=is_canary(self._canary, name),
            )
            self._systems[key] = _System(key, Aligner(self._align), incidents, self._make_monitor)
        return self._systems[key]

    def __len__(self) -> int:
        """Systems known."""
        return len(self._watched())

    def _watched(self) -> "dict[tuple[str, str], _System]":
        """All but the canaries."""
        return {key: system for key, system in self._systems.items() if not system.incidents.is_canary}

    def warm_up_of(self, partition: str, system: str) -> WarmUp | None:
        """How far one system is, a canary included; None if it has no row."""
        found = self._systems.get((partition, system))
        return None if found is None or found.monitor is None else found.monitor.warm_up

    @property
    def open_incidents(self) -> int:
        return sum(system.incidents.is_open for system in self._watched().values())

    @property
    def paging_incidents(self) -> int:
        return sum(system.incidents.is_paging for system in self._systems.values())

    def standing(self) -> list[IncidentRecord]:
        """The open incidents as they were last told."""
        records = (system.incidents.standing() for system in self._systems.values())
        return [record for record in records if record is not None]

    @property
    def warming(self) -> int:
        """Systems that cannot give a verdict yet."""
        return sum(system.monitor is None or not system.monitor.is_warm for system in self._watched().values())

    def standings(self) -> dict[str, Standing]:
        """System -> how its vote stands; those without a row yet are left out."""
        monitors = {name: system.monitor for (_, name), system in self._watched().items()}
        return {name: monitor.standing for name, monitor in monitors.items() if monitor is not None}

    def warm_ups(self) -> dict[str, WarmUp]:
        """The systems that have a row, or parts of one, and are not done with warming."""
        found = {}
        for (_, name), system in self._watched().items():
            progress = WarmUp(0, 1, {}) if system.monitor is None else system.monitor.warm_up
            if not progress.is_over:
                found[name] = progress
        return found

    def silent(self) -> dict[str, tuple[str, ...]]:
        """The variables that stay away, of each system that has any."""
        monitors = {name: system.monitor for (_, name), system in self._watched().items()}
        return {name: monitor.silent for name, monitor in monitors.items() if monitor is not None and monitor.silent}

    def partitions(self) -> set[str]:
        return {partition for partition, _ in self._systems}

    def state(self, partition: str) -> Mapping[str, SystemState]:
        """System -> state, of one partition; each is made when it is asked for, for all together may be large."""
        names = [name for where, name in self._systems if where == partition]
        return _States(names, lambda name: self._state((partition, name)))

    def _state(self, key: tuple[str, str]) -> SystemState:
        state = self._systems[key].state()
        if self._background is None:
            return state
        model = nested("background", self._background.state(_joined(key)))
        return SystemState({**state.plain, "background": self._background_id}, {**state.arrays, **model})

    def load_state(self, partition: str, states: Mapping[str, SystemState]) -> None:
        """Replace what is known of a partition. Raises StateError for a state that does not fit."""
        self.drop(partition)
        for name, state in states.items():
            key = partition, name
            try:
                self._system(key).load_state(state)
                if self._background is not None and state.plain.get("background") == self._background_id:
                    self._background.load_state(_joined(key), part("background", state.arrays))
            except (KeyError, ValueError, TypeError, IndexError) as error:
                self.drop(partition)
                raise StateError(f"the state of system {name} does not fit this version: {error!r}") from error

    def drop(self, partition: str) -> None:
        """Forget a partition's systems: another process owns them now."""
        for key in [key for key in self._systems if key[0] == partition]:
            del self._systems[key]
            if self._background is not None:
                self._background.forget(_joined(key))


class _States(Mapping[str, SystemState]):
    def __init__(self, names: Sequence[str], state_of: Callable[[str], SystemState]) -> None:
        self._names = dict.fromkeys(names)
        self._state_of = state_of

    def __getitem__(self, name: str) -> SystemState:
        if name not in self._names:
            raise KeyError(name)
        return self._state_of(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _System:
    def __init__(self, key: tuple[str, str], aligner: Aligner, incidents: Incidents, make_monitor: MakeMonitor) -> None:
        self._key = key
        self.aligner = aligner
        self.incidents = incidents
        self.monitor: SystemMonitor | None = None  # until the variables are known
        self._make_monitor = make_monitor

    def use(self, make_monitor: MakeMonitor, line: LineSettings) -> None:
        self._make_monitor = make_monitor
        if self.monitor is not None:
            self.monitor.set_line(line)

    def step(self, pieces: Sequence[Aligned]) -> tuple[Step, IntArray]:
        """The rows of the pieces with their findings, and the offset of each row."""
        rows = Block(
            np.concatenate([piece.rows.times for piece in pieces]),
            np.concatenate([piece.rows.values for piece in pieces]),
        )
        findings = self._begin().step(rows)
        partition, name = self._key
        step = Step(name, partition, self.aligner.variables or (), rows, findings)
        return step, np.concatenate([piece.offsets for piece in pieces])

    def _begin(self) -> SystemMonitor:
        if self.monitor is None:
            self.monitor = self._make_monitor(self.aligner.variables or ())
        return self.monitor

    def state(self) -> SystemState:
        plain = {"align": self.aligner.state(), "incidents": self.incidents.state()}
        return SystemState(plain, {} if self.monitor is None else nested("monitor", self.monitor.state()))

    def load_state(self, state: SystemState) -> None:
        self.aligner.load_state(state.plain["align"])
        self.incidents.load_state(state.plain["incidents"])
        learned = part("monitor", state.arrays)
        if learned:
            self._begin().load_state(learned)


def _joined(key: tuple[str, str]) -> str:
    """A system's name among all partitions."""
    return "/".join(key)
