"""Checkpoints: the newest undamaged one is restored, sharded, on any mesh; a single flipped bit is found."""

from __future__ import annotations

import gc
import json
import re
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import AxisType

from fetal_jax import export
from fetal_jax.errors import UserError
from fetal_jax.training import checkpoints
from fetal_jax.training.sharding import Sharding

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _abandoned_reads():
    """After a damaged file Orbax leaves reads that it never awaits: they end here, not in another test."""
    yield
    gc.collect()


class Position:
    def __init__(self, index: int):
        self.index = index

    def get_state(self):
        return {"next_index": self.index}

    def set_state(self, state):
        self.index = state["next_index"]


def sharding(data: int, fsdp: int) -> Sharding:
    """A mesh over the first data x fsdp of the eight devices."""
    devices = jax.devices()[: data * fsdp]
    return Sharding(jax.make_mesh((data, fsdp), ("data", "fsdp"), devices=devices, axis_types=(AxisType.Auto,) * 2))


def tree(seed: int, data: int, fsdp: int):
    rng = np.random.default_rng(seed)
    values = {"step": np.int32(seed), "conv": {"kernel": rng.normal(size=(3, 3, 16, 64)).astype(np.float32)}}
    return jax.device_put(values, sharding(data, fsdp).parameters(values))


def abstract(data: int, fsdp: int):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree(0, data, fsdp))


@pytest.fixture
def run(tmp_path):
    """Checkpoints of steps 10 and 20, written on a mesh of 2 x 4."""
    manager = checkpoints.manager(tmp_path, 3)
    for step in (10, 20):
        checkpoints.save(manager, step, tree(step, 2, 4), Position(step), {"dataset": "x"})
    manager.close()
    return tmp_path


def newest(run, data: int = 8, fsdp: int = 1):
    manager, position = checkpoints.manager(run, 3), Position(0)
    try:
        found = checkpoints.restore_newest(manager, abstract(data, fsdp), position)
        assert found is not None
        step, state, meta = found
        assert meta == {"dataset": "x"}
        assert position.index == step
        np.testing.assert_array_equal(state["conv"]["kernel"], np.asarray(tree(step, data, fsdp)["conv"]["kernel"]))
        assert state["conv"]["kernel"].sharding == tree(0, data, fsdp)["conv"]["kernel"].sharding
        return step
    finally:
        manager.close()


@pytest.mark.parametrize(("data", "fsdp"), [(8, 1), (4, 2), (1, 8), (2, 2), (1, 4), (1, 1)])
def test_restores_bit_for_bit_on_any_number_of_devices(run, data, fsdp):
    assert newest(run, data, fsdp) == 20


def test_each_device_reads_only_its_part(run, monkeypatch):
    read = {}
    restore = ocp.StandardCheckpointHandler.restore

    def spy(handler, directory, args):
        read["state"] = restore(handler, directory, args=args)
        return read["state"]

    monkeypatch.setattr(ocp.StandardCheckpointHandler, "restore", spy)
    manager = checkpoints.manager(run, 3)
    state, _ = checkpoints.restore(manager, 20, abstract(1, 8))
    manager.close()
    for given in (read["state"], state):  # as Orbax read it, and as it came out
        held = {s.device.id: s.data.nbytes for s in given["conv"]["kernel"].addressable_shards}
        assert held == dict.fromkeys(range(8), 3 * 3 * 16 * 64 * 4 // 8)


def test_state_of_another_network_is_refused(run):
    wider = abstract(8, 1)
    wider["conv"]["kernel"] = jax.ShapeDtypeStruct((3, 3, 16, 128), jnp.float32, sharding=sharding(8, 1).replicated)
    manager = checkpoints.manager(run, 3)
    with pytest.raises(UserError, match="20 cannot be read"):
        checkpoints.restore(manager, 20, wider)
    manager.close()


def test_no_checkpoint_is_no_error(tmp_path):
    manager = checkpoints.manager(tmp_path, 3)
    assert checkpoints.restore_newest(manager, abstract(8, 1), Position(0)) is None
    manager.close()


def values(run, step: int):
    """The files with the arrays of a checkpoint, the largest first."""
    files = [p for p in (run / "checkpoints" / str(step)).rglob("*") if p.is_file()]
    return sorted((p for p in files if "/d/" in p.as_posix()), key=lambda p: -p.stat().st_size)


def flip(path, rng):
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def test_flipped_bits_in_the_state_are_found(run):
    rng = np.random.default_rng(0)
    spoilt = values(run, 20)[0]
    whole = spoilt.read_bytes()
    for _ in range(20):
        flip(spoilt, rng)
        manager = checkpoints.manager(run, 3)
        with pytest.raises(UserError, match=r"20 (is damaged|cannot be read)"):
            checkpoints.restore(manager, 20, abstract(8, 1))
        manager.close()
        spoilt.write_bytes(whole)
    assert newest(run) == 20


def test_every_flipped_bit_in_meta_is_found(run):
    path = run / "checkpoints" / "20" / "meta" / "metadata"
    written = path.read_bytes()
    content, digests = checkpoints.checked_meta(json.loads(written))
    assert content == {"dataset": "x", "position": {"next_index": 20}}
    assert len(digests) == 2  # a leaf each
    passed = 0
    for i in range(8 * len(written)):
        flipped = bytearray(written)
        flipped[i // 8] ^= 1 << i % 8
        try:
            found, _ = checkpoints.checked_meta(json.loads(flipped))
        except (ValueError, TypeError, AttributeError):
            continue
        assert found == content  # the bit was in a digest of the state, which the state then contradicts
        passed += 1
    assert passed < 4 * len(written)


@pytest.mark.parametrize("text", ["dataset", '"x"', "next_index", "digests", "state", "step"])
def test_checkpoint_with_a_flipped_bit_in_meta_is_not_restored(run, text):
    path = run / "checkpoints" / "20" / "meta" / "metadata"
    content = bytearray(path.read_bytes())
    content[content.index(text.encode()) + 1] ^= 1
    path.write_bytes(content)
    assert newest(run) == 10


def test_first_checkpoints_without_digests_are_read():
    assert checkpoints.checked_meta({"dataset": "x"}) == ({"dataset": "x"}, {})


@pytest.mark.parametrize("how", ["truncated", "emptied", "missing", "flipped", "no files"])
def test_damaged_newest_checkpoint_is_moved_and_the_one_before_restored(run, how, capsys):
    path = values(run, 20)[0]
    if how == "truncated":
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "missing":
        path.unlink()
    elif how == "flipped":
        flip(path, np.random.default_rng(1))
    else:
        shutil.rmtree(run / "checkpoints" / "20")
        (run / "checkpoints" / "20").mkdir()
    assert newest(run) == 10
    assert "20" in capsys.readouterr().out
    assert [p.name for p in (run / "damaged").iterdir()] == ["20"]
    manager = checkpoints.manager(run, 3)
    checkpoints.save(manager, 20, tree(20, 8, 1), Position(20), {"dataset": "x"})  # its step is saved again
    manager.close()
    assert newest(run) == 20


@pytest.mark.parametrize("how", ["emptied", "missing"])
def test_no_damaged_file_gives_a_wrong_number(run, tmp_path_factory, how):
    files = [p.relative_to(run) for p in (run / "checkpoints" / "20").rglob("*") if p.is_file()]
    assert len(files) > 5
    found = {}
    for name in files:
        spoilt = tmp_path_factory.mktemp("spoilt")
        shutil.copytree(run, spoilt, dirs_exist_ok=True)
        (spoilt / name).write_bytes(b"") if how == "emptied" else (spoilt / name).unlink()
        found[name.name] = newest(spoilt)  # which compares the numbers with those of its step
    assert set(found.values()) <= {10, 20}
    assert found["metadata"] == 10


def test_damaged_checkpoints_stay_if_none_can_be_read(run):
    for step in (10, 20):
        values(run, step)[0].write_bytes(b"")
    manager = checkpoints.manager(run, 3)
    with pytest.raises(UserError, match="no checkpoint can be read"):
        checkpoints.restore_newest(manager, abstract(8, 1), Position(0))
    manager.close()
    assert not (run / "damaged").exists()


@pytest.mark.parametrize(
    ("newest", "note"), [(0.2, "step 1 has a better .*than step 2 .*--best"), (0.1, "^$"), (None, "^$")]
)
def test_export_says_that_a_kept_checkpoint_validated_better(tmp_path, monkeypatch, newest, note):
    scores = {"0": 0.0, "1": 0.1} | ({} if newest is None else {"2": newest})  # step 0 is not kept
    monkeypatch.setattr(checkpoints, "newest_meta", lambda _: {"progress": {"validation_scores": scores}})
    monkeypatch.setattr(checkpoints, "saved_steps", lambda _: [1, 2])
    assert re.search(note, export.better_kept(tmp_path))


def test_best_checkpoint_is_kept_beside_the_newest(tmp_path):
    scores = {}
    manager = checkpoints.manager(tmp_path, 2, scores)
    for step, score in [(10, 0.5), (20, 0.1), (30, 0.3), (40, None), (50, 0.2)]:
        if score is not None:
            scores[step] = score
        checkpoints.save(manager, step, tree(step, 8, 1), Position(step), {})
    checkpoints.finish(manager)
    assert sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir()) == [20, 40, 50]
    assert checkpoints.saved_steps(tmp_path) == [20, 40, 50]
    assert checkpoints.best_step([40, 50], scores) == 50
    assert checkpoints.best_step([40], scores) is None
    assert checkpoints.best_step([10, 20], {10: 0.1, 20: 0.1}) == 20


def test_full_disk_is_reported_and_keeps_earlier_checkpoints(run):
    def save_30():
        manager = checkpoints.manager(run, 3)
        checkpoints.save(manager, 30, tree(30, 8, 1), Position(30), {"dataset": "x"})
        checkpoints.finish(manager)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))  # no file may grow beyond: an error as of a full disk
    try:
        with pytest.raises(UserError, match="make room"):
            save_30()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert newest(run) == 20
    save_30()  # there is room again
    assert newest(run) == 30


def test_digests_depend_on_positions_and_signs_and_not_on_the_mesh():
    one = checkpoints.leaf_digests(tree(1, 8, 1))
    assert one == checkpoints.leaf_digests(tree(1, 1, 8))
    x = jnp.arange(6.0).reshape(2, 3)
    found = {checkpoints.leaf_digests(y)[""] for y in (x, -x, x[::-1], x[:, ::-1], jnp.zeros((2, 3)))}
    assert len(found) == 5
