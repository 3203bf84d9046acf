"""The snapshots of the compacted topic, looked at without a claim and without joining the group."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from stream.errors import InputError
from stream.event_time import NS_PER, to_text
from stream.inspection import Expected, InspectedSnapshot, InspectedSystem, heading, inspected_system
from stream.pieces import decode
from stream.settings import KafkaSettings
from stream.snapshot_records import Found, contents_in, kept_in, parsed
from stream.snapshot_topic import SCHEMA_VERSION
from stream.state_reader import state_reader
from stream.topics import state_topic


def inspect_topic(kafka: KafkaSettings, topic: str, expected: Expected) -> list[InspectedSnapshot]:
    """Raises InputError if the topic is not there, DependencyError while the cluster does not answer."""
    name, found = state_topic(kafka, topic), []
    with state_reader(kafka) as reader:
        expected = replace(expected, partitions={t: reader.partitions(t) for t in kafka.consumer.topics})
        count = reader.partitions(name)
        if not count:
            raise InputError(f"Kafka has no topic {name}; `tocsin topics create` makes it")
        for number in range(count):
            found += list(_inspect(list(reader.records(name, number)), expected))
    return sorted(found, key=lambda snapshot: (_place(snapshot.partition), -snapshot.generation))


def _place(partition: str) -> tuple[str, int]:
    topic, _, number = partition.rpartition("-")
    return topic, int(number) if number.isdigit() else -1


def _inspect(records: Sequence[Any], expected: Expected) -> Iterator[InspectedSnapshot]:
    """Of the partitions whose records these are."""
    for partition in dict.fromkeys(
        (record.key or b"").decode(errors="replace").partition("/")[0] for record in records
    ):
        found = Found(partition, records)
        times = {record.offset: record.timestamp for record in records}
        manifests = found.manifests()
        if found.mark and found.claim not in dict(manifests):
            yield InspectedSnapshot(
                partition, found.claim, "claimed", "nothing saved since", _owner(found, found.claim)
            )
        for claim, content in manifests:
            saved_at = to_text(times[found.saved_at(claim)] * NS_PER["ms"])
            yield _snapshot(found, claim, content, saved_at, expected)


def _snapshot(found: Found, claim: int, content: bytes, saved_at: str, expected: Expected) -> InspectedSnapshot:
    about: dict[str, Any] = {"partition": found.partition, "generation": claim, "saved_at": saved_at}
    about |= {"owner": _owner(found, claim), "bytes": found.size(claim)}
    try:
        manifest = parsed(content)
        about |= heading(manifest, SCHEMA_VERSION, expected)
        if about["status"] == "whole":
            about |= {"systems": tuple(_systems(found, claim, manifest, expected))}
            about |= {"detail": _why_not(found, claim, manifest, expected)}
    except (KeyError, ValueError, TypeError) as error:
        about |= {"status": "damaged", "detail": str(error) if isinstance(error, ValueError) else repr(error)}
    return InspectedSnapshot(**about)


def _systems(found: Found, claim: int, manifest: dict[str, Any], expected: Expected) -> Iterator[InspectedSystem]:
    """Those that were in memory, then those that were not."""
    kept = ((name, content) for name, (_, content) in kept_in(found, claim, manifest).items())
    for name, content in chain(contents_in(found, claim, manifest), kept):
        yield inspected_system(name, decode(content).plain, len(content), expected)


def _why_not(found: Found, claim: int, manifest: dict[str, Any], expected: Expected) -> str:
    """Why a process would start without it, or refuse it, though it is whole."""
    there = (expected.partitions or {}).get(_place(found.partition)[0])
    counted = manifest["partitions"]
    if there is not None and counted != there:
        return f"of a topic with {counted} partitions, and it has {there} now"
    return "an older owner's" if claim < max(claim for claim, _ in found.manifests()) else ""


def _owner(found: Found, claim: int) -> str:
    """Only the last claim tells who made it: those before it are compacted away."""
    if claim != found.claim:
        return ""
    try:
        told = json.loads(found.mark)
        return f"{told['host']}, process {told['process']}"
    except (ValueError, KeyError, TypeError):
        return ""
