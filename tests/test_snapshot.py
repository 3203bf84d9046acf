"""A snapshot is there whole or not at all, and one that is damaged is passed over for the one before."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from fakes import CrashError, state_of

from stream.assembly import make_pipeline
from stream.config import Config
from stream.errors import DependencyError, StateError
from stream.pipeline import SystemState
from stream.settings import SnapshotSettings
from stream.snapshot import Snapshots
from stream.sources.protocol import Readings

STATE = {"shop": SystemState({"a": [1, None, "x"]}, {"mean": np.arange(6.0).reshape(2, 3), "flag": np.array(True)})}


def snapshots(folder: Path, config_hash: str = "c", **options) -> Snapshots:
    between = options.pop("between", lambda step: None)
    return Snapshots(SnapshotSettings(directory=str(folder), **options), config_hash=config_hash, between=between)


def save(folder: Path, *positions: int, **options) -> None:
    for position in positions:
        snapshots(folder, **options).save("t/0", position, STATE)


def position(folder: Path, **options) -> int | None:
    found = snapshots(folder, **options).load("t/0")
    return found and found.position


def test_what_is_saved_comes_back(tmp_path):
    save(tmp_path, 7)
    found = snapshots(tmp_path).load("t/0")
    assert found is not None
    assert found.position == 7
    state = found.systems["shop"]
    assert state.plain == {"a": [1, None, "x"]}
    np.testing.assert_array_equal(state.arrays["mean"], STATE["shop"].arrays["mean"])
    assert state.arrays["flag"].dtype == bool


def test_there_is_none_at_first_and_other_partitions_are_apart(tmp_path):
    assert position(tmp_path) is None
    save(tmp_path, 7)
    assert snapshots(tmp_path).load("t/1") is None


def test_the_newest_counts_and_only_so_many_are_kept(tmp_path):
    save(tmp_path, *range(1, 13), keep=3)
    assert position(tmp_path) == 12
    assert len(list(tmp_path.rglob("MANIFEST.json"))) == 3


@pytest.mark.parametrize("step", ["written", "renamed"])
def test_a_death_while_saving_leaves_one_that_is_whole(tmp_path, step):
    save(tmp_path, 1)

    def die(at: str) -> None:
        if at == step:
            raise CrashError(at)

    with pytest.raises(CrashError):
        save(tmp_path, 2, between=die)
    assert position(tmp_path) == (1 if step == "written" else 2)
    save(tmp_path, 3)
    assert position(tmp_path) == 3


@pytest.mark.parametrize("name", ["MANIFEST.json", "0.json", "0.state"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "gone", "empty"])
def test_a_damaged_one_is_passed_over_loudly(tmp_path, caplog, name, damage):
    save(tmp_path, 1, 2)
    (path,) = tmp_path.glob(f"*/00000002/{name}")
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        half, flipped = content[: len(content) // 2], content[:20] + bytes([content[20] ^ 1]) + content[21:]
        path.write_bytes({"truncated": half, "changed": flipped, "empty": b""}[damage])
    assert position(tmp_path) == 1
    assert "snapshot damaged" in caplog.text


def test_if_all_are_damaged_somebody_must_decide(tmp_path):
    save(tmp_path, 1)
    for path in tmp_path.rglob("0.state"):
        path.write_bytes(b"")
    with pytest.raises(StateError, match=r"are damaged .* remove it to start fresh"):
        position(tmp_path)


def test_state_of_another_configuration_is_not_used(tmp_path, caplog):
    save(tmp_path, 1)
    assert position(tmp_path, config_hash="d") is None
    assert "another configuration" in caplog.text
    with pytest.raises(StateError, match=r"of another configuration \(c, this is d\)"):
        position(tmp_path, config_hash="d", other_config="refuse")


def test_another_version_is_refused(tmp_path):
    save(tmp_path, 1)
    (manifest,) = tmp_path.rglob("MANIFEST.json")
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "schema_version": 99}))
    with pytest.raises(StateError, match="has schema version 99; this version of tocsin reads up to 3"):
        position(tmp_path)


def as_version_1(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Make the only snapshot one of the first schema version, with these arrays in its only system."""
    (packed,) = folder.rglob("0.state")
    older = packed.with_suffix(".npz")
    np.savez(older, allow_pickle=True, **arrays)
    packed.unlink()
    (path,) = folder.rglob("MANIFEST.json")
    manifest = json.loads(path.read_text())
    del manifest["files"][packed.name]
    manifest["files"][older.name] = hashlib.sha256(older.read_bytes()).hexdigest()
    path.write_text(json.dumps({**manifest, "schema_version": 1}))


def test_a_snapshot_of_an_earlier_version_is_read(tmp_path):
    save(tmp_path, 1)
    as_version_1(tmp_path, {"monitor/x": np.arange(3.0)})
    found = snapshots(tmp_path).load("t/0")
    (state,) = found.systems.values()
    assert found.position == 1
    assert state.arrays["monitor/x"].tolist() == [0.0, 1.0, 2.0]


def test_nothing_is_ever_unpickled(tmp_path):
    save(tmp_path, 1)
    as_version_1(tmp_path, {"evil": np.array([object()], dtype=object)})
    with pytest.raises(StateError, match="damaged"):
        position(tmp_path)


def test_a_folder_that_cannot_be_written_is_a_dependency_that_is_away(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DependencyError, match="cannot write a snapshot"):
        save(tmp_path / "file", 1)


def test_hundreds_of_systems_come_back_under_their_names(tmp_path):
    states = {f"s{i}": SystemState({"i": i}, {"x": np.array([i])}) for i in range(200)}
    snapshots(tmp_path).save("t/0", 1, states)
    found = snapshots(tmp_path).load("t/0")
    assert found is not None
    assert {name: int(state.arrays["x"][0]) for name, state in found.systems.items()} == {
        f"s{i}": i for i in range(200)
    }


def test_a_real_monitor_goes_on_from_disk_bit_for_bit(tmp_path):
    rng = np.random.default_rng(2)
    values = 5 + rng.normal(size=(160, 4))
    values[100:110, 1] += 30
    times = np.arange(160, dtype=np.int64) * 1_000_000_000

    def rows(start: int, stop: int) -> Readings:
        part = slice(start, stop)
        return Readings("shop", "t/0", ("a.x", "a.y", "b.x", "b.y"), times[part], values[part], np.arange(start, stop))

    whole, _ = make_pipeline(Config(), [("a", "b")])
    expected = whole.process([rows(0, 104)]).records + whole.process([rows(104, 160)]).records
    first, decides = make_pipeline(Config(), [("a", "b")])
    found = first.process([rows(0, 104)]).records
    snapshots(tmp_path, decides).save("t/0", 104, first.state("t/0"))
    second, _ = make_pipeline(Config(), [("a", "b")])
    loaded = snapshots(tmp_path, decides).load("t/0")
    assert loaded is not None
    second.load_state("t/0", loaded.systems)
    assert found + second.process([rows(104, 160)]).records == expected
    assert state_of(second) == state_of(whole)
