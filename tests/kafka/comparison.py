"""What an undisturbed replay of the same messages finds and learns, and whether a disturbed run did the same.

Findings are compared as documents, which hold their ids; states bit for bit.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stage import Setting, all_of

from stream.assembly import make_pipeline
from stream.config import Config
from stream.pipeline import SystemState
from stream.runner import Runner
from stream.settings import FileSettings, SnapshotSettings
from stream.sinks.discard import Discard
from stream.sinks.jsonlines import JsonLines
from stream.snapshot import Snapshots
from stream.snapshot_topic import TopicSnapshots
from stream.sources.file import FileSource

LIVE = ("observed_at", "source")  # what a live run adds: the clock, and where it was read


@dataclass(frozen=True)
class Replay:
    """What an undisturbed run finds and learns."""

    findings: list[dict[str, Any]]
    state: dict[str, SystemState]
    config_hash: str


def replay_of(messages: Sequence[bytes], folder: Path) -> Replay:
    """The messages from a file. It compiles the kernels, too, before a process is waited for."""
    (folder / "input.jsonl").write_bytes(b"\n".join(messages) + b"\n")
    pipeline, decides = make_pipeline(Config())
    snapshots = Snapshots(SnapshotSettings(directory=str(folder / "state")), config_hash=decides)
    source = FileSource(FileSettings(path=str(folder / "input.jsonl"), time_unit="iso"))
    Runner(source, pipeline, [JsonLines(str(folder / "found.jsonl"))], Discard(), snapshots=snapshots).run()
    state = snapshots.load("input.jsonl")
    if state is None or state.position != len(messages):
        raise RuntimeError(f"the replay did not read {len(messages)} messages to their end: {state}")
    found = [json.loads(line) for line in (folder / "found.jsonl").read_text().splitlines()]
    return Replay(found, state.systems, decides)


def findings(setting: Setting) -> list[dict[str, Any]]:
    producer = setting.config.kafka.producer
    return [json.loads(r.value) for topic in (producer.verdicts, producer.incidents) for r in all_of(setting, topic)]


def told(documents: Iterable[Mapping[str, Any]]) -> set[str]:
    """What was found, free of repeats and of what only a live run adds."""
    return {json.dumps({k: v for k, v in d.items() if k not in LIVE}, sort_keys=True) for d in documents}


def learned(setting: Setting, replay: Replay, ends: Sequence[int]) -> dict[str, SystemState]:
    """The systems of all partitions as the topic keeps them. Raises RuntimeError where one does not stand at its end,
    or another than an outdated snapshot was passed over (what a paused process may write when it wakes)."""
    store = TopicSnapshots(setting.config.kafka, setting.config.snapshot, config_hash=replay.config_hash)
    found: dict[str, SystemState] = {}
    for number, end in enumerate(ends):
        snapshot = store.load(f"{setting.topic}-{number}")
        if snapshot is None or snapshot.position != end:
            raise RuntimeError(f"partition {number} stands at {snapshot and snapshot.position}, and not at {end}")
        found |= snapshot.systems | store.fetch(f"{setting.topic}-{number}", tuple(snapshot.evicted))
    store.close()
    if not store.passed_over.keys() <= {"outdated"}:
        raise RuntimeError(f"snapshots were passed over: {store.passed_over}")
    return found


def state_hash(systems: Mapping[str, SystemState]) -> str:
    """Of all that is learned: every byte of every array, and what JSON holds, system by system."""
    hashed = hashlib.sha256()
    for name in sorted(systems):
        hashed.update(json.dumps([name, systems[name].plain], sort_keys=True).encode())
        for part, array in sorted(systems[name].arrays.items()):
            hashed.update(f"{part} {array.dtype} {array.shape}".encode() + array.tobytes())
    return hashed.hexdigest()


def differences(setting: Setting, replay: Replay, ends: Sequence[int]) -> list[str]:
    """Of a run, whose partitions end there, to the undisturbed one: none if each row was learned once and every
    finding was told."""
    found = []
    kinds = {finding["kind"] for finding in replay.findings}
    if not kinds >= {"verdict", "trigger", "incident"}:
        found.append(f"the replay proves little, for it found only {sorted(kinds)}")
    mine, theirs = told(findings(setting)), told(replay.findings)
    if mine != theirs:
        found.append(f"findings: {len(theirs - mine)} are missing, {len(mine - theirs)} are too many")
    state = learned(setting, replay, ends)
    if state.keys() != replay.state.keys():
        found.append(f"systems: {sorted(state)}, and not {sorted(replay.state)}")
    elif state_hash(state) != state_hash(replay.state):
        odd = [f"{name}/{part}" for name in state for part in _other_parts(state[name], replay.state[name])]
        found.append(f"state differs: {', '.join(odd)[:500]}")
    return found


def _other_parts(one: SystemState, other: SystemState) -> list[str]:
    plain = [] if one.plain == other.plain else ["plain"]
    names = sorted(one.arrays.keys() | other.arrays.keys())
    return plain + [n for n in names if _bytes(one, n) != _bytes(other, n)]


def _bytes(state: SystemState, part: str) -> bytes | None:
    return state.arrays[part].tobytes() if part in state.arrays else None
