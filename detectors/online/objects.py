"""Python objects as plain arrays and back, without pickle: how the state of foreign models gets into a snapshot.

An object is written as pickle would see it (`object.__reduce_ex__`, protocol 4), but as four arrays: one code a node of
the object graph, and the integers, floats and words that the codes take, in order. Shared and circular references stay
shared and circular. Reading it back makes classes and functions of the chosen packages and a few of the standard
library, and nothing else: it runs no name that an array could bring in from elsewhere. What cannot be carried (open
files, lambdas, classes of other packages, sets of more than one member, whose order Python does not keep) is refused
with NotCarriedError and the way to it.
"""

import collections
import copyreg
import functools
import importlib
import json
import operator
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from detectors.block import State

_MAKERS = (copyreg.__newobj__, copyreg.__newobj_ex__, copyreg._reconstructor)  # type: ignore[attr-defined]
_STANDARD = {
    f"{thing.__module__}:{thing.__qualname__}": thing
    for thing in (
        *(bool, int, float, str, bytes, tuple, list, dict, set, frozenset, complex, object),
        *(collections.deque, collections.defaultdict, collections.OrderedDict, collections.Counter),
        *(functools.partial, random.Random, operator.attrgetter, operator.itemgetter),
        *_MAKERS,
    )
}
_CODES = (
    *("none", "true", "false", "integer", "float", "word", "long", "bytes", "array", "named", "known"),
    *("tuple", "list", "dict", "set", "frozenset", "made"),
)
_CODE = {name: number for number, name in enumerate(_CODES)}
_LARGEST = 2**63


class NotCarriedError(TypeError):
    """An object that arrays cannot carry; the message says what and where."""


def freeze(thing: Any, packages: Sequence[str]) -> State:
    """The object as arrays: codes, integers, floats, words. packages: whose classes and functions may stand in it.

    >>> thaw(freeze({"mean": 0.1, "last": (1, None)}, []), [])
    {'mean': 0.1, 'last': (1, None)}
    """
    writer = _Writer(packages)
    try:
        writer.write(thing, type(thing).__name__)
    except RecursionError:
        raise NotCarriedError(f"{type(thing).__name__} is nested too deeply to be carried") from None
    return {
        "codes": np.array(writer.codes, dtype=np.uint8),
        "integers": np.array(writer.integers, dtype=np.int64),
        "floats": np.array(writer.floats, dtype=np.float64),
        "words": np.frombuffer(json.dumps(list(writer.words)).encode(), dtype=np.uint8).copy(),
    }


def thaw(state: State, packages: Sequence[str]) -> Any:
    """The object that was frozen. ValueError if the arrays are not of one, or name what is not of the packages."""
    try:
        return _Reader(state, packages).read()
    except (StopIteration, IndexError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"the arrays do not hold an object: {error!r}") from None


def named(name: str, packages: Sequence[str]) -> Any:
    """What "module:qualname" means, if it is of the packages or one of the few of the standard library."""
    if name in _STANDARD:
        return _STANDARD[name]
    module, _, path = name.partition(":")
    if module.partition(".")[0] not in packages:
        raise ValueError(f"{name} is not of {', '.join(packages) or 'any package'}")
    try:
        return operator.attrgetter(path)(importlib.import_module(module))
    except (ImportError, AttributeError):
        raise ValueError(f"{name} does not exist") from None


def _full_name(kind: type[Any]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


class _Writer:
    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = packages
        self._known: dict[int, int] = {}  # number of what was written before, by its id
        self._kept: list[Any] = []  # so that no id is given to another object meanwhile
        self.codes: list[int] = []
        self.integers: list[int] = []
        self.floats: list[float] = []
        self.words: dict[str, int] = {}

    def write(self, thing: Any, path: str) -> None:
        """path: the way to the thing, for whoever reads that it cannot be carried."""
        if thing is None or thing is True or thing is False:
            self._code(str(thing).lower())
        elif type(thing) is float:
            self._code("float")
            self.floats.append(thing)
        elif type(thing) is int:
            self._integer(thing)
        elif type(thing) is str:
            self._word("word", thing)
        elif id(thing) in self._known:
            self._code("known", self._known[id(thing)])
        else:
            self._write_compound(thing, path)

    def _write_compound(self, thing: Any, path: str) -> None:
        if type(thing) is tuple:
            self._code("tuple", len(thing))
            self._each(thing, path)  # a tuple cannot be made before its members
            self._remember(thing)
            return
        self._remember(thing)
        if type(thing) in (list, set, frozenset):
            if type(thing) is not list and len(thing) > 1:
                raise NotCarriedError(f"{path} is a {type(thing).__name__} of {len(thing)}, whose order is not kept")
            self._code(type(thing).__name__, len(thing))
            self._each(thing, path)
        elif type(thing) is dict:
            self._code("dict", len(thing))
            self._pairs(thing.items(), path)
        elif type(thing) is bytes:
            self._code("bytes", len(thing), *thing)
        elif type(thing) is np.ndarray and thing.dtype.kind in "fiub":
            self._code("array", thing.ndim, *thing.shape, thing.nbytes, *thing.tobytes())
            self._word("word", thing.dtype.str)
        else:
            self._write_object(thing, path)

    def _write_object(self, thing: Any, path: str) -> None:
        how = self._name_of(thing) if isinstance(thing, type) or callable(thing) else None
        if how is not None:
            self._word("named", how)
            return
        if isinstance(thing, type):
            raise NotCarriedError(f"{path} is the class {_full_name(thing)}, which cannot be carried")
        try:
            reduced = thing.__reduce_ex__(4)
        except TypeError as error:
            raise NotCarriedError(f"{path} cannot be carried: {error}") from None
        if isinstance(reduced, str):
            raise NotCarriedError(f"{path} is a global of its module, {reduced}, which cannot be carried")
        padded: list[Any] = [*reduced, *[None] * (6 - len(reduced))]
        maker, arguments, state, items, pairs, setter = padded
        if self._name_of(maker) is None or not _makes_objects(maker) or setter is not None:
            raise NotCarriedError(
                f"{path} is a {type(thing).__module__}.{type(thing).__qualname__}, which cannot be carried"
            )
        self._code("made")
        self.write(maker, path)
        self.write(arguments, path)
        self.write(state, path)
        self.write(None if items is None else list(items), path)
        self.write(None if pairs is None else [list(pair) for pair in pairs], path)

    def _name_of(self, thing: Any) -> str | None:
        """module:qualname of a class or function that is found again under it, and may be."""
        name = f"{getattr(thing, '__module__', None)}:{getattr(thing, '__qualname__', None)}"
        try:
            return name if named(name, self._packages) is thing else None
        except ValueError:
            return None

    def _remember(self, thing: Any) -> None:
        self._known[id(thing)] = len(self._kept)
        self._kept.append(thing)

    def _each(self, things: Iterable[Any], path: str) -> None:
        for place, thing in enumerate(things):
            self.write(thing, f"{path}[{place}]")

    def _pairs(self, pairs: Iterable[tuple[Any, Any]], path: str) -> None:
        for key, value in pairs:
            self.write(key, path)
            self.write(value, f"{path}.{key}")

    def _code(self, name: str, *integers: int) -> None:
        self.codes.append(_CODE[name])
        self.integers.extend(integers)

    def _integer(self, number: int) -> None:
        if -_LARGEST <= number < _LARGEST:
            self._code("integer", number)
        else:
            self._word("long", str(number))

    def _word(self, code: str, word: str) -> None:
        self._code(code, self.words.setdefault(word, len(self.words)))


class _Reader:
    def __init__(self, state: State, packages: Sequence[str]) -> None:
        self._packages = packages
        self._codes: Iterator[int] = iter(state["codes"].tolist())
        self._integers: Iterator[int] = iter(state["integers"].tolist())
        self._floats: Iterator[float] = iter(state["floats"].tolist())
        self._words: list[str] = json.loads(state["words"].tobytes().decode())
        self._known: list[Any] = []
        self._plain: dict[str, Callable[[], Any]] = {
            "none": lambda: None,
            "true": lambda: True,
            "false": lambda: False,
            "integer": lambda: next(self._integers),
            "float": lambda: next(self._floats),
            "word": self._word,
            "long": lambda: int(self._word()),
            "known": lambda: self._known[next(self._integers)],
        }

    def read(self) -> Any:
        code = _CODES[next(self._codes)]
        if code in self._plain:
            return self._plain[code]()
        if code == "tuple":
            return self._remember(tuple([self.read() for _ in range(next(self._integers))]))
        place = len(self._known)
        self._known.append(None)
        return self._compound(code, place)

    def _compound(self, code: str, place: int) -> Any:
        if code == "made":
            return self._made(place)
        if code == "named":
            self._known[place] = named(self._word(), self._packages)
        elif code == "bytes":
            self._known[place] = self._bytes()
        elif code == "array":
            shape = [next(self._integers) for _ in range(next(self._integers))]
            content = self._bytes()
            self.read_code("word")
            self._known[place] = np.frombuffer(content, np.dtype(self._word())).reshape(shape).copy()
        elif code == "dict":
            self._known[place] = filled = {}
            for _ in range(next(self._integers)):
                key = self.read()
                filled[key] = self.read()
        else:
            self._fill(code, place)
        return self._known[place]

    def read_code(self, name: str) -> None:
        if _CODES[next(self._codes)] != name:
            raise ValueError(f"the arrays do not hold an object: no {name} where one should stand")

    def _fill(self, code: str, place: int) -> None:
        count = next(self._integers)
        if code == "list":
            members: list[Any] = []
            self._known[place] = members
            for _ in range(count):
                members.append(self.read())
        else:
            kind = {"set": set, "frozenset": frozenset}[code]
            self._known[place] = kind([self.read() for _ in range(count)])

    def _made(self, place: int) -> Any:
        maker = self.read()
        if not _makes_objects(maker):
            raise ValueError(f"the arrays do not hold an object: {maker!r} makes none")
        self._known[place] = thing = maker(*self.read())
        state, items, pairs = self.read(), self.read(), self.read()
        for item in items or ():
            thing.append(item)
        for key, value in pairs or ():
            thing[key] = value
        if state is not None:
            _set_state(thing, state)
        return thing

    def _remember(self, thing: Any) -> Any:
        self._known.append(thing)
        return thing

    def _word(self) -> str:
        return self._words[next(self._integers)]

    def _bytes(self) -> bytes:
        return bytes([next(self._integers) for _ in range(next(self._integers))])


def _makes_objects(maker: Any) -> bool:
    """Whether a maker is a class, or one of the functions that pickle makes objects with, Cython's included."""
    name = getattr(maker, "__name__", "")
    return isinstance(maker, type) or maker in _MAKERS or name.startswith("__pyx_unpickle_")


def _set_state(thing: Any, state: Any) -> None:
    """As pickle does: by the object's own way, else its attributes, else its slots."""
    if hasattr(thing, "__setstate__"):
        thing.__setstate__(state)
        return
    attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    if attributes:
        thing.__dict__.update(attributes)
    for name, value in (slots or {}).items():
        setattr(thing, name, value)
