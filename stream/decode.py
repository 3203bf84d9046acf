"""Bytes of messages to readings, or to a reject with its reason; and readings back to a message.

What a message may look like says :mod:`stream.message`, which reads them one by one. Those that look like others
before them (:mod:`stream.form`) are read many at a time.
"""

from collections.abc import Iterable, Sequence

import msgspec

from detectors.block import FloatArray
from stream.event_time import TimeStyle, Unit, to_text
from stream.forms import Forms
from stream.message import MessageReader, Messages, Raw, RejectedError
from stream.runs import Runs
from stream.sources.protocol import Readings, Reject

__all__ = ["REASONS", "Decoder", "Messages", "Raw", "RejectedError", "encode_row"]

REASONS = (
    "not_json",  # the bytes are no JSON object
    "no_ts",
    "bad_ts",  # neither RFC 3339 nor a number of the expected unit, or outside the years 1677 to 2262
    "no_system",  # neither in the message nor in its key
    "no_values",  # neither values, nor name and value, nor names and rows
    "not_a_number",  # text, true or a nested thing where a number belongs
    "not_finite",  # NaN or infinity
    "too_long",
    "columns",  # a CSV line or a row of a table with too few or too many cells, or a table with another number of ts
    "cut_off",  # the input ended within this line
    # From stream.align, once a reading is understood:
    "late",  # older than a row that was already processed
    "past",  # so much older that its clock must be wrong
    "duplicate",
    "future",
    "unknown_variable",
)


MANY = 6  # messages: of fewer each costs less by itself


class Decoder:
    """Turns messages of one partition into readings, grouped by system. What it keeps between calls, the forms of
    messages, changes nothing but its pace.

    system: the name for messages that name none in themselves or in their key; None rejects those.
    unit: of a numeric ts.  max_bytes: longer messages are rejected unread.
    """

    def __init__(self, *, system: str | None = None, unit: Unit = "ms", max_bytes: int = 1 << 20) -> None:
        self._unit: Unit = unit
        self._reader = MessageReader(system=system, unit=unit, max_bytes=max_bytes)
        self._forms = Forms(self._reader.system_of, unit=unit, max_bytes=max_bytes)

    def decode(self, partition: str, messages: Iterable[Raw]) -> tuple[list[Readings], list[Reject]]:
        """All readings of the messages, system by system in the order of arrival, and all rejects."""
        return self.decode_columns(partition, Messages.of(messages))

    def decode_columns(self, partition: str, messages: Messages) -> tuple[list[Readings], list[Reject]]:
        """The same."""
        runs = Runs(partition, messages)
        rejects: list[Reject] = []
        are_many = len(messages.values) >= MANY
        left = self._forms.read(messages.keys, messages.values, runs) if are_many else range(len(messages.values))
        for place in left:
            key, value = messages.keys[place], messages.values[place]
            try:
                told = self._reader.read(key, value)
            except RejectedError as error:
                rejects.append(Reject(error.reason, error.detail, partition, messages.offsets[place], key, value))
            else:
                runs.add(place, told)
                if are_many:
                    self._forms.learn(key, value, told)
        return runs.readings(), rejects

    def style_of(self, messages: Iterable[Raw]) -> TimeStyle:
        """How the first good one of the messages writes its time."""
        styles = (self._reader.style_of(raw.value) for raw in messages)
        return next((style for style in styles if style is not None), TimeStyle(self._unit))


def encode_row(system: str, ns: int, names: Sequence[str], row: FloatArray) -> bytes:
    """A wide message of one row (N,); NaN becomes null.

    >>> import numpy as np
    >>> encode_row("shop", 0, ["cart.cpu"], np.array([0.5]))
    b'{"system":"shop","ts":"1970-01-01T00:00:00Z","values":{"cart.cpu":0.5}}'
    """
    values = dict(zip(names, row.tolist(), strict=True))
    return msgspec.json.encode({"system": system, "ts": to_text(ns), "values": values})
