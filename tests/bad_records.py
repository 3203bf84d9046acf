"""Records that nobody could want, from a seed: mutated valid ones, noise, deep nesting, huge numbers, wrong types and
times. Each of them must be rejected, by its own construction; `mutants` are the ones that may also be accepted.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

BEGIN_S = 1_700_000_000  # of stage.rows_of: what lies before it is late
FOREIGN = ["no number", True, False, [1], {"a": 1}, [], {}]
NO_TIMES: list[Any] = ["yesterday", "2023-13-45T99:99:99Z", "9999-01-01T00:00:00Z", "", " ", "1e9", True, [], {}, None]
HUGE = ["1e400", "-1e999", "9" * 400, "-" + "9" * 4999, "NaN", "Infinity", "-Infinity"]
TOO_FAR = ["1e300", "-1e300", "9223372036855", "-9223372036855", "9" * 30, "1e400", "NaN"]  # ms
LONG = 70_000  # bytes, beyond the limit that the proofs set
MOST_DEEP = 20_000


class Record(NamedTuple):
    family: str
    key: bytes | None
    value: bytes | None


class Fuzz:
    """Bad records around some valid messages of the system that they spoil."""

    def __init__(self, valid: list[bytes], seed: int) -> None:
        self._valid = valid
        self._chance = random.Random(seed)
        self._families: Mapping[str, Callable[[], bytes | None]] = {
            "noise": self._noise,
            "cut": self._cut,
            "flipped": lambda: self._with_a_nul(self._mutated()),
            "deep": self._deep,
            "huge number": self._huge,
            "wrong type": self._wrong_type,
            "wrong time": self._wrong_time,
            "far time": lambda: self._spoilt_text("ts", self._chance.choice(TOO_FAR)),
            "past": lambda: self._spoilt("ts", (BEGIN_S - self._chance.randrange(1, 10**9)) * 1000),
            "future": lambda: self._spoilt("ts", 4_102_444_800_000 + self._chance.randrange(10**12)),
            "lacking": self._lacking,
            "other JSON": lambda: json.dumps(self._chance.choice([*FOREIGN, 5, 1.5, None, [[]], "{}"])).encode(),
            "nothing": lambda: self._chance.choice([None, b"", b" ", b"\n", b"null"]),
        }

    def records(self, count: int) -> Iterator[Record]:
        names = list(self._families)
        for number in range(count):
            if number % 5_000 == 4_999:
                yield Record("long", b"key", b'{"pad": "' + b"x" * LONG + b'"}')
                continue
            name = self._chance.choice(names)
            yield Record(name, self._chance.choice([b"key", b"", b"\xff\x00", "käse".encode()]), self._families[name]())

    def mutants(self, count: int) -> Iterator[bytes]:
        """Valid messages with one to six changes of bytes, or of a number for another: many are valid again."""
        for _ in range(count):
            yield self._mutated() if self._chance.random() < 0.5 else self._extreme()

    def _noise(self) -> bytes:
        return b"\xff" + self._chance.randbytes(self._chance.randrange(200))

    def _cut(self) -> bytes:
        message = self._chance.choice(self._valid)
        return message[: self._chance.randrange(1, len(message) - 1)]

    def _mutated(self) -> bytes:
        message = bytearray(self._chance.choice(self._valid))
        for _ in range(self._chance.randrange(1, 7)):
            place, other = self._chance.randrange(len(message)), self._chance.randrange(256)
            match self._chance.randrange(4):
                case 0:
                    message[place] = other
                case 1:
                    message[place] ^= 1 << self._chance.randrange(8)
                case 2:
                    message.insert(place, other)
                case _:
                    del message[place]
        return bytes(message)

    def _with_a_nul(self, message: bytes) -> bytes:
        """No JSON any more, whatever it was: a control character may stand nowhere."""
        place = self._chance.randrange(len(message) + 1)
        return message[:place] + b"\0" + message[place:]

    def _deep(self) -> bytes:
        depth = self._chance.choice([10, 100, 900, 1_100, MOST_DEEP])
        left, right = self._chance.choice([("[", "]"), ('{"a":', "}")])
        text = left * depth + "1" + right * (depth if self._chance.random() < 0.8 else depth - 1)
        where = self._chance.choice(["", "ts", "values", "cell"])
        return text.encode() if not where else self._spoilt_text(where, text if where != "values" else f"[{text}]")

    def _huge(self) -> bytes:
        return self._spoilt_text("cell", self._chance.choice(HUGE))

    def _wrong_type(self) -> bytes:
        name = self._chance.choice(["system", "ts", "values", "cell"])
        wrong = self._chance.choice([thing for thing in FOREIGN if name != "values" or not isinstance(thing, dict)])
        return self._spoilt(name, 17 if name == "system" else [wrong] if name == "ts" else wrong)

    def _wrong_time(self) -> bytes:
        return self._spoilt("ts", self._chance.choice(NO_TIMES))

    def _lacking(self) -> bytes:
        document = self._document()
        del document[self._chance.choice(["ts", "values"])]
        return json.dumps(document).encode()

    def _extreme(self) -> bytes:
        wild = ["1e308", "-1e308", "5e-324", "-0.0", "1e16", "9" * 300, "null", "1e-300", "-9007199254740993"]
        return self._spoilt_text(self._chance.choice(["cell", "cell", "cell", "ts"]), self._chance.choice(wild))

    def _document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self._chance.choice(self._valid))
        return document

    def _spoilt(self, name: str, value: Any) -> bytes:
        return self._spoilt_text(name, json.dumps(value))

    def _spoilt_text(self, name: str, text: str) -> bytes:
        """A valid message but for one thing; cell: one of its values."""
        document, mark = self._document(), "0ddba11"
        if name == "cell":
            document["values"][self._chance.choice(list(document["values"]))] = mark
        else:
            document[name] = mark
        return json.dumps(document).replace(f'"{mark}"', text, 1).encode()
