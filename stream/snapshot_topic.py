"""State and input position of each partition in a compacted Kafka topic: a partition's next owner finds it there.

Partition n of the topic holds the state of partition n of the input topics. Its records, by key:

    <input>-<n>/claim                  who owns the partition: written by each new owner before it reads
    <input>-<n>/<claim>/manifest       position, config hash, and the hashes of the rest: written last
    <input>-<n>/<claim>/<hash>         a piece of a system's state (stream.pieces), of a list of pieces, or of the list
                                       of systems

<claim> is the offset of the owner's claim: it grows with each owner and is never the same for two. (The group's
generation is not used: a static member keeps it over a restart, and shares it with another process of its name; it
begins at 1 again when the group was forgotten.) An owner writes below its own claim only, so a process that was
replaced and does not know it overwrites nothing, and the newest claim's snapshot counts whatever is written late.

A snapshot is the manifest and all that it names. Pieces are named by their content: one that an earlier snapshot of
this owner has written is there already. The state of a system that left memory lies in a few large pieces, whose
offsets are known, so that it is found again without reading all others; a new owner writes it anew, as all that it
takes over. What the newest manifest does not name any more is then deleted. So whatever
moment a process dies at, the last manifest is whole, and its state has learned each row before its position once.
"""

import dataclasses
import json
import os
import socket
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stream.errors import DependencyError, StateError
from stream.eviction import Evicted
from stream.kafka_outbox import Outbox, Outgoing
from stream.pieces import cut, decode, digest, encode, hashes_in, split
from stream.pipeline import SystemState
from stream.settings import KafkaSettings, SnapshotSettings
from stream.snapshot_records import CLAIM, MANIFEST, Found, contents_in, kept_in, parsed
from stream.snapshot_store import Judge, Saved, Snapshot
from stream.state_reader import StateReader, state_reader
from stream.topics import state_topic

SCHEMA_VERSION = 3  # 2 has evicted systems; 3 has packed arrays (stream.packing); those before are read, too
LARGE = 512 << 10  # bytes of a piece of an evicted system's state
FETCH_BYTES = 1 << 20  # at once, for one


@dataclass(slots=True)
class _Stored:
    """Bytes in the topic. roots: hashes, joined, of the pieces of a list of hashes; pieces: that list."""

    roots: bytes
    pieces: bytes
    bytes: int


@dataclass(slots=True)
class _Kept:
    """A system that is not in memory. pieces: the joined hashes of its state's pieces. first: the first one's record,
    until its offset is known."""

    known: Evicted
    pieces: bytes
    bytes: int
    first: Outgoing | None
    offset: int | None = None


@dataclass(slots=True)
class _Owned:
    """A partition of ours. counted: partitions of its topic. stale: keys of earlier owners. listed: the kept
    systems, as they stand in the topic; None if there are none, or others since."""

    name: str
    number: int
    claim: int
    counted: int
    stale: list[str]
    written: set[bytes] = field(default_factory=set)  # hashes of pieces that are there, or under way
    systems: dict[str, _Stored] = field(default_factory=dict)
    kept: dict[str, _Kept] = field(default_factory=dict)
    listed: _Stored | None = None

    def key(self, what: str) -> str:
        return f"{self.name}/{self.claim}/{what}"


class TopicSnapshots:
    """Snapshots of the partitions that one process owns. Raises DependencyError if the topic is not there.

    Holds no state in memory, only the hashes of its pieces: 4 % of its size.
    """

    def __init__(self, kafka: KafkaSettings, settings: SnapshotSettings, *, config_hash: str) -> None:
        self._kafka = kafka
        self._topic = state_topic(kafka, settings.topic)
        self._config_hash = config_hash
        self._judge = Judge(settings, config_hash)
        self._outbox = Outbox(_patient(kafka), {self._topic}, max_record=kafka.producer.max_request)
        self._owned: dict[str, _Owned] = {}
        self._bytes = 0  # sent, ever
        self.passed_over = self._judge.passed_over

    def load(self, partition: str) -> Snapshot | None:
        """Claims the partition, then reads what its earlier owners left."""
        self.forget(partition)
        topic, _, digits = partition.rpartition("-")
        with state_reader(self._kafka) as reader:
            counted = self._counted(reader, topic)
            mark = self._claim(partition, int(digits))
            found = Found(partition, reader.records(self._topic, int(digits)))
        if found.mark != mark:  # another process has claimed it since; a rebalance tells who it belongs to
            raise DependencyError(f"Kafka topic {self._topic}: our claim of {partition} is not the last one there")
        self._owned[partition] = _Owned(partition, int(digits), found.claim, counted, found.keys())
        for late in found.late():
            self._judge.passes_over(partition, "outdated", late)
        return self._newest(found, counted)

    def fetch(self, partition: str, names: Collection[str]) -> dict[str, SystemState]:
        """Raises StateError for a state that is damaged."""
        owned = self._owned[partition]
        with state_reader(self._kafka, fetch_bytes=FETCH_BYTES) as reader:
            return {name: self._fetch(reader, owned, name) for name in names}

    def _fetch(self, reader: StateReader, owned: _Owned, name: str) -> SystemState:
        """From where it should be; else from wherever it is."""
        kept = owned.kept[name]
        for begin in dict.fromkeys((kept.offset, None)):
            found = self._pieces(reader, owned, kept, begin)
            if found is not None:
                return decode(found)
        where = f"{self._topic}: the state of {owned.name} (claim {owned.claim})"
        raise self._judge.refuses(where, owned.name, f"system {name}: a piece is missing")

    def _pieces(self, reader: StateReader, owned: _Owned, kept: _Kept, begin: int | None) -> bytes | None:
        wanted = {owned.key(name.hex()).encode(): name for name in hashes_in(kept.pieces)}
        found: dict[bytes, bytes] = {}
        for record in reader.records(self._topic, owned.number, begin):
            name = wanted.get(record.key)
            if name is not None and record.value is not None and digest(record.value) == name:
                found[name] = record.value
                if len(found) == len(wanted):
                    return b"".join(found[name] for name in hashes_in(kept.pieces))
        return None

    def save(
        self,
        partition: str,
        position: int,
        systems: Mapping[str, SystemState],
        changed: Collection[str] | None = None,
        leaving: Mapping[str, Evicted] | None = None,
    ) -> Saved:
        """Writes the pieces that are new, then the manifest; deletes what is not needed any more once that is there."""
        owned, before, refused = self._owned[partition], self._bytes, self._outbox.passed_over
        leaves = leaving or {}
        for name in systems:
            if name in leaves:
                self._keep(owned, name, leaves[name], encode(systems[name]))
            elif changed is None or name in changed or name not in owned.systems:
                owned.systems[name] = self._store(owned, encode(systems[name]))
        self._let_go(owned, kept=[n for n in systems if n not in leaves], stored=owned.systems.keys() - set(systems))
        index = self._store(owned, _index(owned.systems))
        if owned.kept and owned.listed is None:
            owned.listed = self._store(owned, _list(owned.kept))
        self._send(owned, owned.key(MANIFEST), self._manifest(owned, position, index))
        self._flush(owned, refused)
        self._clean(owned, index)
        stored = sum(one.bytes for one in (index, *owned.systems.values()))
        return Saved(stored + sum(one.bytes for one in owned.kept.values()), self._bytes - before)

    def _let_go(self, owned: _Owned, *, kept: Iterable[str], stored: Iterable[str]) -> None:
        """Systems that are in memory are not kept (again), and those that are kept are not stored with the others."""
        for name in kept:
            if owned.kept.pop(name, None) is not None:
                owned.listed = None
        for name in [*stored]:
            del owned.systems[name]

    def _flush(self, owned: _Owned, refused: int) -> None:
        """refused: records that Kafka had refused before. Then it is known where the kept systems lie."""
        self._outbox.flush()
        if self._outbox.passed_over > refused:
            text = f"Kafka topic {self._topic} does not take the state of {owned.name}; the log says why"
            raise DependencyError(text)
        for kept in owned.kept.values():
            if kept.first is not None:
                kept.offset, kept.first = kept.first.offset, None

    def _keep(self, owned: _Owned, name: str, known: Evicted, content: bytes) -> None:
        """Write a system's state in large pieces: it leaves memory, or is taken over without having been there."""
        first, hashes = None, []
        for piece in split(content, min(LARGE, self._kafka.producer.max_request // 2)):
            hashes.append(digest(piece))
            record = self._put_piece(owned, piece, hashes[-1])
            first = first or record
        before, pieces = owned.kept.get(name), b"".join(hashes)
        if before is not None and before.pieces == pieces:  # it was under way when the last try failed
            first = first or before.first
        owned.kept[name] = _Kept(known, pieces, len(content), first)
        owned.systems.pop(name, None)
        owned.listed = None

    def forget(self, partition: str) -> None:
        self._owned.pop(partition, None)

    def close(self) -> None:
        self._outbox.close()

    def _counted(self, reader: StateReader, topic: str) -> int:
        """Partitions of the input topic. Raises StateError if the state of some has no place."""
        there, wanted = reader.partitions(self._topic), reader.partitions(topic)
        if there < wanted:
            self.passed_over["other_partitions"] += 1
            raise StateError(
                f"{topic} has {wanted} partitions, and {self._topic}, which keeps their state, {there}: give it as many"
            )
        return wanted

    def _claim(self, partition: str, number: int) -> bytes:
        """Tell that the partition is ours; gives the record's value, by which it is found again."""
        value = {"mark": uuid.uuid4().hex, "host": socket.gethostname(), "process": os.getpid()}
        content = json.dumps(value).encode()
        self._outbox.send(self._topic, f"{partition}/{CLAIM}".encode(), content, [], partition=number)
        self._outbox.flush()
        return content

    def _newest(self, found: "Found", counted: int) -> Snapshot | None:
        damaged = []
        for claim, content in found.manifests():
            where = f"{self._topic}: the state of {found.partition} (claim {claim})"
            try:
                manifest = parsed(content)
                self._judge.accepts_version(where, manifest["schema_version"], SCHEMA_VERSION)
                if not self._accepts(where, found.partition, manifest, counted):
                    return None
                systems = {name: decode(state) for name, state in contents_in(found, claim, manifest)}
                kept = kept_in(found, claim, manifest)
                self._take_over(self._owned[found.partition], kept)
                evicted = {name: known for name, (known, _) in kept.items()}
                return Snapshot(int(manifest["position"]), systems, evicted)
            except (KeyError, ValueError, TypeError) as error:
                damaged.append(f"claim {claim}: {error!r}")
                self._judge.passes_over(found.partition, "damaged", damaged[-1])
        if damaged:
            raise StateError(
                f"all states of {found.partition} in {self._topic} are damaged ({'; '.join(damaged)}); "
                "another snapshot.topic starts fresh"
            )
        return None

    def _take_over(self, owned: _Owned, kept: Mapping[str, tuple[Evicted, bytes]]) -> None:
        """What an earlier owner kept becomes ours before its keys are deleted."""
        refused = self._outbox.passed_over
        for name, (known, content) in kept.items():
            self._keep(owned, name, known, content)
        if kept:
            self._flush(owned, refused)

    def _accepts(self, where: str, partition: str, manifest: Mapping[str, Any], counted: int) -> bool:
        return self._judge.accepts_config(where, partition, manifest["config_hash"]) and self._judge.accepts_partitions(
            where, partition, manifest["partitions"], counted
        )

    def _store(self, owned: _Owned, content: bytes) -> _Stored:
        """Write what is new of the content, and of the list of its pieces."""
        pieces = self._put(owned, content)
        return _Stored(self._put(owned, pieces), pieces, len(content))

    def _put(self, owned: _Owned, content: bytes) -> bytes:
        """The joined hashes of the content's pieces, each of which is in the topic or on its way."""
        hashes = []
        for piece in cut(content):
            hashes.append(digest(piece))
            self._put_piece(owned, piece, hashes[-1])
        return b"".join(hashes)

    def _put_piece(self, owned: _Owned, piece: bytes, name: bytes) -> Outgoing | None:
        """The record on its way, if the piece was not there."""
        if name in owned.written:
            return None
        owned.written.add(name)
        return self._send(owned, owned.key(name.hex()), piece)

    def _manifest(self, owned: _Owned, position: int, index: _Stored) -> bytes:
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "config_hash": self._config_hash,
            "partitions": owned.counted,
            "position": position,
            "index": index.roots.hex(),
            "evicted": owned.listed.roots.hex() if owned.listed else "",
        }
        return json.dumps(manifest).encode()

    def _clean(self, owned: _Owned, index: _Stored) -> None:
        """Delete what the manifest that is now there does not name, of ours and of earlier owners."""
        stored = (index, *([owned.listed] if owned.listed else []), *owned.systems.values())
        needed = {name for one in stored for name in _names(one)}
        needed |= {name for kept in owned.kept.values() for name in hashes_in(kept.pieces)}
        for name in owned.written - needed:
            self._send(owned, owned.key(name.hex()), None)
        for key in owned.stale:
            self._send(owned, key, None)
        owned.written &= needed
        owned.stale = []

    def _send(self, owned: _Owned, key: str, value: bytes | None) -> Outgoing:
        self._bytes += len(key) + len(value or b"")
        return self._outbox.send(self._topic, key.encode(), value, [], partition=owned.number)


def _index(systems: Mapping[str, _Stored]) -> bytes:
    return json.dumps({name: stored.roots.hex() for name, stored in systems.items()}).encode()


def _list(kept: Mapping[str, _Kept]) -> bytes:
    return json.dumps({name: [msgspec.to_builtins(one.known), one.pieces.hex()] for name, one in kept.items()}).encode()


def _names(stored: _Stored) -> list[bytes]:
    return hashes_in(stored.roots) + hashes_in(stored.pieces)


def _patient(kafka: KafkaSettings) -> KafkaSettings:
    """Not so long, however, that a save costs the membership in the group: it is tried again."""
    patience = min(kafka.producer.acknowledge_timeout, kafka.consumer.session_timeout / 2)
    return dataclasses.replace(kafka, producer=dataclasses.replace(kafka.producer, acknowledge_timeout=patience))
