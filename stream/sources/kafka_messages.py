"""What the client's poll gives, as the decoder takes it, and as it came."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stream.event_time import NS_PER
from stream.message import Messages

BROKERS_TIME = 1  # timestamp type of a topic with message.timestamp.type=LogAppendTime


def columns_of(messages: Sequence[Any]) -> Messages:
    """With when they arrived, if the topic has the broker stamp them: a producer's stamp tells nothing of its clock."""
    offsets = [message.offset for message in messages]
    keys = [message.key for message in messages]
    values = [message.value or b"" for message in messages]
    stamped = {message.timestamp_type for message in messages}
    if BROKERS_TIME not in stamped:
        return Messages(offsets, keys, values)
    arrived = [message.timestamp * NS_PER["ms"] for message in messages]
    if len(stamped) == 1:
        return Messages(offsets, keys, values, arrived)
    is_brokers = [message.timestamp_type == BROKERS_TIME for message in messages]
    known = [at if is_so else None for at, is_so in zip(arrived, is_brokers, strict=True)]
    return Messages(offsets, keys, values, known)


class Originals(Mapping[tuple[str, int], tuple[bytes | None, bytes]]):
    """Key and value of what was delivered, found when they are asked for, which is seldom.

    A partition's messages come in the order of their offsets.
    """

    def __init__(self, delivered: Mapping[str, Sequence[Any]]) -> None:
        self._delivered = delivered

    def __getitem__(self, place: tuple[str, int]) -> tuple[bytes | None, bytes]:
        partition, offset = place
        messages = self._delivered[partition]
        at = bisect_left(messages, offset, key=lambda message: message.offset)
        if at == len(messages) or messages[at].offset != offset:
            raise KeyError(place)
        return messages[at].key, messages[at].value or b""

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return ((name, message.offset) for name, messages in self._delivered.items() for message in messages)

    def __len__(self) -> int:
        return sum(map(len, self._delivered.values()))
