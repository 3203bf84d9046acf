"""What the compacted topic holds of one input partition, as it is read: claims, manifests, and the pieces they name.

:mod:`stream.snapshot_topic` tells how the records are laid out, and writes them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from stream.eviction import Evicted
from stream.pieces import digest, hashes_in

CLAIM, MANIFEST = "claim", "manifest"


class Found:
    """The records of one input partition: the newest of each key, without those that were deleted.

    claim, mark: offset and value of the last claim.
    """

    def __init__(self, partition: str, records: Iterable[Any]) -> None:
        self.partition = partition
        self.claim, self.mark = -1, b""
        self._pieces: dict[int, dict[str, bytes]] = {}
        self._manifests: dict[int, tuple[int, bytes]] = {}  # claim -> offset, content
        for record in records:
            name, _, rest = (record.key or b"").decode(errors="replace").partition("/")
            if name == partition:
                self._add(rest, record)

    def _add(self, rest: str, record: Any) -> None:
        claim, _, what = rest.partition("/")
        if claim == CLAIM:
            self.claim, self.mark = record.offset, record.value
        elif what == MANIFEST:
            self._replace(self._manifests, int(claim), record.value and (record.offset, record.value))
        else:
            self._replace(self._pieces.setdefault(int(claim), {}), what, record.value)

    def _replace(self, known: dict[Any, Any], key: Any, value: Any) -> None:
        known.pop(key, None)
        if value is not None:
            known[key] = value

    def manifests(self) -> list[tuple[int, bytes]]:
        """(claim, content), the newest owner's first."""
        return [(claim, self._manifests[claim][1]) for claim in sorted(self._manifests, reverse=True)]

    def saved_at(self, claim: int) -> int:
        """The offset of the claim's manifest."""
        return self._manifests[claim][0]

    def size(self, claim: int) -> int:
        """Bytes that are kept of the claim: its manifest and its pieces."""
        return len(self._manifests[claim][1]) + sum(map(len, self._pieces.get(claim, {}).values()))

    def late(self) -> Iterator[str]:
        """What a former owner wrote after somebody else had claimed the partition and saved its own."""
        for claim, (offset, _) in self._manifests.items():
            if any(claim < other < offset for other in self._manifests):
                yield f"a process that lost it wrote under claim {claim} at offset {offset}"

    def content(self, claim: int, names: bytes) -> bytes:
        """What was stored in these pieces. Raises ValueError for one that is missing or is not what was written."""
        return b"".join(self._piece(claim, name) for name in hashes_in(names))

    def _piece(self, claim: int, name: bytes) -> bytes:
        piece = self._pieces.get(claim, {}).get(name.hex())
        if piece is None or digest(piece) != name:
            raise ValueError(f"piece {name.hex()} is {'missing' if piece is None else 'not what was written'}")
        return piece

    def keys(self) -> list[str]:
        """All but the claim's."""
        found = [f"{claim}/{what}" for claim, pieces in self._pieces.items() for what in pieces]
        found += [f"{claim}/{MANIFEST}" for claim in self._manifests]
        return [f"{self.partition}/{rest}" for rest in found]


def contents_in(found: Found, claim: int, manifest: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The name and the encoded state of each system. Raises ValueError or KeyError for a damaged snapshot."""
    index = json.loads(found.content(claim, found.content(claim, bytes.fromhex(manifest["index"]))))
    for name, roots in index.items():
        yield name, found.content(claim, found.content(claim, bytes.fromhex(roots)))


def kept_in(found: Found, claim: int, manifest: Mapping[str, Any]) -> dict[str, tuple[Evicted, bytes]]:
    """The systems that were not in memory: what is known of each, and its encoded state."""
    roots = bytes.fromhex(manifest.get("evicted", ""))  # not in those of earlier versions
    listed = json.loads(found.content(claim, found.content(claim, roots)) or b"{}")
    return {
        name: (msgspec.convert(known, Evicted), found.content(claim, bytes.fromhex(pieces)))
        for name, (known, pieces) in listed.items()
    }


def parsed(content: bytes) -> dict[str, Any]:
    """A manifest. Raises ValueError."""
    manifest = json.loads(content)
    if not isinstance(manifest, dict):
        raise ValueError(f"the manifest is no object: {manifest!r}")
    return manifest
