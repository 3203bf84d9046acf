"""A packed state is small: so many bytes a variable, by preset, counted and not timed."""

from functools import cache

import numpy as np
import pytest

from detectors.block import Block
from detectors.causes.settings import CausesSettings
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings
from stream.pieces import decode, encode
from stream.pipeline import SystemState

VARIABLES, ROWS = 8, 3_200  # rows fill all that is kept but RePAD2's window, of which they fill 3,200 of 8,064
VOTE = CausesSettings(enabled=False)
SETTINGS = {
    "vote": MonitorSettings(causes=VOTE),
    "vote without the other rules": MonitorSettings(causes=VOTE, other_rules=False),
    "default": MonitorSettings(),
    "rola": MonitorSettings(preset="rola", causes=VOTE),
    "light": MonitorSettings(also=("repad2", "half_space_trees"), causes=VOTE),
    "full": MonitorSettings(preset="full"),
}


def readings(places: int | None) -> np.ndarray:
    rows = np.arange(ROWS)[:, None]
    waves = 50.0 + 10.0 * np.sin(rows / np.linspace(5, 50, VARIABLES))
    noisy = waves + np.random.default_rng(0).normal(size=(ROWS, VARIABLES))
    return noisy if places is None else noisy.round(places)


@cache
def state(kind: str, places: int | None) -> dict[str, np.ndarray]:
    monitor = Monitor([f"part{n % 3}.metric{n // 3}" for n in range(VARIABLES)], SETTINGS[kind])
    for start in range(0, ROWS, 256):
        values = readings(places)[start : start + 256]
        monitor.step(Block(10**9 * np.arange(start, start + len(values)), values))
    return monitor.state()


def bytes_a_variable(kind: str, places: int | None) -> float:
    return len(encode(SystemState({}, state(kind, places)))) / VARIABLES


@pytest.mark.parametrize(
    ("kind", "places", "most"),
    [
        ("vote", 2, 16_000),
        ("vote", 4, 19_500),
        ("vote", None, 31_600),
        ("vote without the other rules", 2, 10_000),
        ("default", 2, 29_500),
        ("default", 4, 33_000),
        ("default", None, 45_000),
        ("rola", 2, 20_500),
        ("light", 2, 36_500),
        ("full", 2, 56_500),
    ],
)
def test_a_packed_state_takes_so_many_bytes_a_variable(kind: str, places: int | None, most: int) -> None:
    """places: that the readings have; None = all digits of a double."""
    assert bytes_a_variable(kind, places) < most


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_packed_state_has_every_bit_of_it(kind: str) -> None:
    for places in (2, None):
        found = decode(encode(SystemState({}, state(kind, places)))).arrays
        assert list(found) == list(state(kind, places))
        for name, array in state(kind, places).items():
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
            assert found[name].tobytes() == array.tobytes(), name
