"""Systems and their monitors: readings in, findings out. No I/O, no clock; the same rows give the same findings."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from detectors.block import nested, part
from detectors.combine.line import LineSettings
from detectors.findings import Standing
from detectors.warmup import WarmUp
from stream.align import Aligned, Late
from stream.asked import Background, MakeMonitor
from stream.canary_rows import is_canary
from stream.errors import StateError
from stream.event_time import to_text
from stream.eviction import Evicted, Key, Recency
from stream.incidents import Incidents
from stream.producer_clocks import ClockChange, ProducerClocks
from stream.records import FindingRecord, IncidentRecord, Time
from stream.settings import AlignSettings, IncidentSettings
from stream.sources.protocol import Readings, Reject
from stream.system import Step, System, SystemState, stretches

__all__ = ["Outcome", "Pipeline", "Step", "SystemState"]


@dataclass(slots=True)
class Outcome:
    """What some readings led to. shadow: the scores that the background made meanwhile, of these or earlier rows.
    revised: rows that were scored again, for a late reading. clocks: producers whose clocks turned out to be wrong, or
    right again.
    """

    steps: list[Step] = field(default_factory=list)
    records: list[FindingRecord] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    shadow: list[float] = field(default_factory=list)
    revised: int = 0
    clocks: list[ClockChange] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(len(step.rows) for step in self.steps)


class Pipeline:
    """All systems of this process, each with its aligner, its monitor and its incidents.

    make_monitor: variables -> a monitor.  format_time: how records write a time.
    background: gives opinions without a vote; background_id: its state is loaded only where this is the same.
    canary: what the names of canaries begin with. They are systems as all others, but page nobody, and what is told of
    the systems together leaves them out.
    recency: says who leaves memory, where somebody keeps them (:meth:`evict`, :meth:`restore`); None: nobody.
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
        recency: Recency | None = None,
    ) -> None:
        self._canary = canary
        self._make_monitor = make_monitor
        self._background = background
        self._background_id = background_id
        self._align = align or AlignSettings()
        self._incidents = incidents or IncidentSettings()
        self._config_hash = config_hash
        self._format_time = format_time
        self._recency = recency or Recency()
        self._clocks = ProducerClocks(self._align.max_behind)
        self._systems: dict[Key, System] = {}
        self._evicted: dict[Key, Evicted] = {}
        self.evictions = 0  # systems that left memory, ever
        self.restores = 0  # and that came back

    def process(self, readings: Iterable[Readings], *, now: int | None = None) -> Outcome:
        """Step every system through its new rows. now: wall clock in ns, to refuse readings from the future by, where
        nobody knows when they arrived."""
        outcome = Outcome()
        waiting: dict[Key, list[Aligned]] = {}
        for reading in readings:
            key = reading.partition, reading.system
            aligner = self._system(key).aligner
            aligned = aligner.add(reading, now=now)
            self._recency.saw(key, aligner.newest)
            outcome.rejects += aligned.rejects
            changed = self._clocks.judge(reading, aligned.rejects, newest=aligner.newest, now=now)
            outcome.clocks += [] if changed is None else [changed]
            if len(aligned.rows) or aligned.late:
                waiting.setdefault(key, []).append(aligned)
        for key, pieces in waiting.items():
            for rows, late in stretches(pieces):
                if rows:
                    self._step(key, rows, outcome)
                for one in late:
                    self._revise(key, one, outcome)
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

    def _step(self, key: Key, pieces: Sequence[Aligned], outcome: Outcome) -> None:
        system = self._systems[key]
        step, offsets = system.step(pieces)
        opinions = self._opinions(key, step, outcome)
        outcome.steps.append(step)
        outcome.records += system.incidents.follow(step.findings, offsets, shadow=opinions)

    def _revise(self, key: Key, late: Late, outcome: Outcome) -> None:
        revised = self._systems[key].revise(late)
        outcome.rejects += revised.rejects
        outcome.revised += revised.is_revised
        outcome.records += [] if revised.record is None else [revised.record]

    def _opinions(self, key: Key, step: Step, outcome: Outcome) -> dict[int, float]:
        """What the background says of this system's rows, by their times, as far as it has said it."""
        if self._background is None:
            return {}
        self._background.submit(_joined(key), step.rows.times, step.rows.values, step.findings.normal)
        results = list(self._background.results())
        outcome.shadow += [score for _, _, score in results]
        return {time: score for name, time, score in results if name == _joined(key)}

    def _system(self, key: Key) -> System:
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
            self._systems[key] = System(key, self._align, incidents, self._make_monitor)
        return self._systems[key]

    def __len__(self) -> int:
        """Systems known, in memory or not."""
        return len(self._watched()) + len(self._evicted)

    @property
    def in_memory(self) -> int:
        return len(self._watched())

    def _watched(self) -> dict[Key, System]:
        """Those in memory, all but the canaries."""
        return {key: system for key, system in self._systems.items() if not system.incidents.is_canary}

    def warm_up_of(self, partition: str, system: str) -> WarmUp | None:
        """How far one system is, a canary included; None if it has no row."""
        found = self._systems.get((partition, system))
        return None if found is None or found.monitor is None else found.monitor.warm_up

    @property
    def open_incidents(self) -> int:
        return sum(system.incidents.is_open for system in self._watched().values()) + len(self._kept_open())

    @property
    def paging_incidents(self) -> int:
        here = sum(system.incidents.is_paging for system in self._systems.values())
        return here + sum(record.pages for record in self._kept_open())

    def standing(self) -> list[IncidentRecord]:
        """The open incidents as they were last told."""
        records = (system.incidents.standing() for system in self._systems.values())
        return [record for record in records if record is not None] + self._kept_open()

    def _kept_open(self) -> list[IncidentRecord]:
        """The open incidents of systems that are not in memory."""
        return [known.incident for known in self._evicted.values() if known.incident is not None]

    @property
    def wrong_clocks(self) -> Mapping[str, int]:
        """How many producers' clocks are "ahead", and "behind"."""
        return self._clocks.wrong

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
        return {partition for partition, _ in (*self._systems, *self._evicted)}

    @property
    def is_crowded(self) -> bool:
        """More are in memory than should be, by so much that it should not wait for the next snapshot."""
        return self._recency.is_crowded

    def leaving(self) -> dict[str, list[str]]:
        """Partition -> the systems that should leave memory."""
        return self._recency.leaving()

    def evictable(self, partition: str, names: Iterable[str]) -> dict[str, Evicted]:
        """Those of the systems that are in memory, with what is to stay of them."""
        return {name: self._systems[partition, name].evicted() for name in names if (partition, name) in self._systems}

    def evict(self, partition: str, leaving: Mapping[str, Evicted]) -> None:
        """Drop these systems from memory: their state, as it is now, is kept elsewhere, to be given to restore()."""
        for name, known in leaving.items():
            self._remove((partition, name))
            self._evicted[partition, name] = known
        self.evictions += len(leaving)

    def is_evicted(self, partition: str, name: str) -> bool:
        return (partition, name) in self._evicted

    def evicted_among(self, readings: Iterable[Readings]) -> dict[str, list[str]]:
        """Partition -> the systems of the readings that must be restored before the readings are processed."""
        keys = dict.fromkeys((reading.partition, reading.system) for reading in readings)
        return _by_partition(key for key in keys if key in self._evicted)

    def unfinished(self) -> dict[str, list[str]]:
        """Partition -> the systems that must be restored before finish()."""
        return _by_partition(key for key, known in self._evicted.items() if known.is_unfinished)

    def restore(self, partition: str, states: Mapping[str, SystemState]) -> None:
        """Take systems back into memory. Raises StateError for a state that does not fit."""
        for name, state in states.items():
            self._load((partition, name), state)
            del self._evicted[partition, name]
        self.restores += len(states)

    def state(self, partition: str) -> Mapping[str, SystemState]:
        """System -> state, of those of a partition that are in memory; each is made when it is asked for, for all
        together may be large."""
        names = [name for where, name in self._systems if where == partition]
        return _States(names, lambda name: self._state((partition, name)))

    def _state(self, key: Key) -> SystemState:
        state = self._systems[key].state()
        if self._background is None:
            return state
        model = nested("background", self._background.state(_joined(key)))
        return SystemState({**state.plain, "background": self._background_id}, {**state.arrays, **model})

    def load_state(
        self, partition: str, states: Mapping[str, SystemState], evicted: Mapping[str, Evicted] | None = None
    ) -> None:
        """Replace what is known of a partition. Raises StateError for a state that does not fit."""
        self.drop(partition)
        for name, state in states.items():
            self._load((partition, name), state)
        self._evicted |= {(partition, name): known for name, known in (evicted or {}).items()}

    def _load(self, key: Key, state: SystemState) -> None:
        try:
            system = self._system(key)
            system.load_state(state)
            if self._background is not None and state.plain.get("background") == self._background_id:
                self._background.load_state(_joined(key), part("background", state.arrays))
        except (KeyError, ValueError, TypeError, IndexError) as error:
            self.drop(key[0])
            raise StateError(f"the state of system {key[1]} does not fit this version: {error!r}") from error
        self._recency.loaded(key, system.aligner.newest)

    def drop(self, partition: str) -> None:
        """Forget a partition's systems: another process owns them now."""
        for key in [key for key in self._systems if key[0] == partition]:
            self._remove(key)
        for key in [key for key in self._evicted if key[0] == partition]:
            del self._evicted[key]
        self._recency.drop(partition)
        self._clocks.forget(partition)

    def _remove(self, key: Key) -> None:
        """Out of memory."""
        del self._systems[key]
        self._recency.forget(key)
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


def _joined(key: Key) -> str:
    """A system's name among all partitions."""
    return "/".join(key)


def _by_partition(keys: Iterable[Key]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for partition, name in keys:
        found.setdefault(partition, []).append(name)
    return found
