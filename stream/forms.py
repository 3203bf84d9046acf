"""Which key's messages have which form, learned from messages that were read by themselves."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from detectors.block import IntArray
from stream.decimal_kernel import Bytes
from stream.event_time import NS_PER
from stream.form import Form, Rows, form_of
from stream.message import Told
from stream.runs import Runs

MOST = 10_000  # keys that are remembered: they may be made up
PAUSE = 64  # messages of a key that were read by themselves, until its form is looked for again
END = b"\0"  # behind the last message
Keys: TypeAlias = Sequence[bytes | None]


class Forms:
    """system_of: the system of a message that names none, by its key.  unit: of a numeric ts.  max_bytes: of one."""

    def __init__(self, system_of: Callable[[bytes | None], str | None], *, unit: str, max_bytes: int) -> None:
        self._system_of = system_of
        self._ns_per = NS_PER[unit]
        self._max_bytes = max_bytes
        self._of: dict[bytes | None, Form] = {}
        self._known: dict[tuple[bytes, tuple[str, ...]], Form] = {}  # equal ones are one
        self._latest: Form | None = None
        self._pause: dict[bytes | None, int] = {}

    def read(self, keys: Keys, values: Sequence[bytes], runs: Runs) -> list[int]:
        """Add what is of its key's form to the runs, and give the places of the others."""
        is_left = np.ones(len(keys), dtype=np.bool_)
        places = self._places(keys)
        if places:
            text = np.frombuffer(b"".join((*values, END)), dtype=np.uint8)
            lengths = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
            edges = np.append(0, np.cumsum(lengths))
            for form, which in places.items():
                rows = form.read(text, edges, which, self._ns_per)
                rows.is_good[lengths[which] > self._max_bytes] = False
                for system, chosen in self._by_system(form, rows, text, [keys[place] for place in which.tolist()]):
                    runs.add_rows(system, form.names, which[chosen], rows.times[chosen], rows.values[chosen])
                    is_left[which[chosen]] = False
        return np.flatnonzero(is_left).tolist()

    def _by_system(self, form: Form, rows: Rows, text: Bytes, keys: Keys) -> Iterator[tuple[str, IntArray]]:
        """Each system with its rows."""
        if form.has_system:
            found, groups = rows.systems(text)
            systems = [_decoded(name) for name in found]
        else:
            numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
            systems = [self._system_of(key) for key in numbers]
            groups = np.where(rows.is_good, [numbers[key] for key in keys], -1)
        ranked = np.argsort(groups, kind="stable")
        edges = np.searchsorted(groups[ranked], np.arange(len(systems) + 1))
        for system, begin, end in zip(systems, edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if system and begin < end:
                yield system, ranked[begin:end]

    def _places(self, keys: Sequence[bytes | None]) -> dict[Form, IntArray]:
        found = {key: self._of.get(key) for key in set(keys)}
        forms = dict.fromkeys(found.values())
        if len(forms) == 1:
            (form,) = forms
            return {} if form is None else {form: np.arange(len(keys))}
        lists: dict[Form | None, list[int]] = {form: [] for form in forms}
        for place, key in enumerate(keys):
            lists[found[key]].append(place)
        return {form: np.array(places) for form, places in lists.items() if form is not None}

    def learn(self, key: bytes | None, value: bytes, told: Told) -> None:
        """A message without a form was understood: what it looks like is what its key's next ones may look like."""
        if left := self._pause.get(key, 0):
            self._pause[key] = left - 1
            return
        if len(self._pause) >= MOST:
            for memory in (self._of, self._known, self._pause):
                memory.clear()
        self._pause[key] = PAUSE
        form = self._form(value, told) if told.is_complete and len(told.times) == 1 else None
        if form is not None:
            self._of[key] = self._latest = form

    def _form(self, value: bytes, told: Told) -> Form | None:
        """Mostly that of another system's messages."""
        if self._latest is not None and self._latest.names == told.names and self._reads(self._latest, value, told):
            return self._latest
        form = form_of(value, told.names)
        if form is None or not self._reads(form, value, told):
            return None
        return self._known.setdefault((form.literal.tobytes(), form.names), form)

    def _reads(self, form: Form, value: bytes, told: Told) -> bool:
        """Whether it reads the message as it was understood."""
        text = np.frombuffer(value + END, dtype=np.uint8)
        rows = form.read(text, np.array([0, len(value)]), np.zeros(1, dtype=np.int64), self._ns_per)
        values = np.array(told.rows, dtype=np.float64)
        return bool(rows.is_good[0] and rows.times[0] == told.times[0]) and rows.values.tobytes() == values.tobytes()


def _decoded(name: bytes) -> str | None:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None
