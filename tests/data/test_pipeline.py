"""Batches: the same for any number of workers, hosts and restarts; geometry follows the pixels."""

from __future__ import annotations

from dataclasses import replace

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fetal_jax import biometry, geometry
from fetal_jax.config import Config, from_values, mixture
from fetal_jax.data import pipeline
from fetal_jax.data.augment import fast_warp, random_similarity
from fetal_jax.data.contact_sheet import COLUMNS, contact_sheet
from fetal_jax.data.decoded import Decoded, decoded
from fetal_jax.data.source import Frame
from fetal_jax.errors import UserError
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.planes import GEOMETRIES
from fetal_jax.preprocess import Letterbox
from fetal_jax.training.targets import coverage
from tfds_builders.fetal_phantom.phantom import draw

KINDS = {Ellipse: "ellipse", Shaft: "shaft", type(None): "none"}


class MemorySplit:
    """A split of synthetic frames, of several sizes and kinds, in memory."""

    dataset, name, digest = "memory/1.0.0", "train", "0123"

    def __init__(self, count: int = 10, folder=None):
        self.frames, self.folder = [self._frame(i) for i in range(count)], folder

    def _frame(self, seed: int) -> Frame:
        rng = np.random.default_rng(seed)
        ellipse = Ellipse(*rng.uniform((60, 60, 39, 25, -1.5), (90, 90, 40, 38, 1.5)).tolist())
        image = np.where(geometry.mask(ellipse, 150, 160 + seed), 200, 20).astype(np.uint8)
        shape = (ellipse, Shaft(20.0, 30.0, 90.5, 60.25, np.nan), None)[seed % 3]
        plane = ("head", "thorax")[seed % 2]
        truth = {"hc_mm": 0.2 * ellipse.perimeter}
        return Frame(image, plane, KINDS[type(shape)], shape, 0.2 if seed else None, truth, str(seed), f"{seed}.png")

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, i: int) -> Frame:
        return self.frames[i]


@pytest.fixture
def config() -> Config:
    return Config(input_shape=(64, 96), batch_size=4, planes=("other", "head"))


def mixed(config: Config, name: str) -> Config:
    return replace(config, data=from_values({"data.name": name}).data)


def take(iterator, n):
    return [next(iterator) for _ in range(n)]


def assert_same_batches(one, other):
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def epochs(batches, size):
    """Indices of the frames, one row per epoch."""
    return np.concatenate([b["index"] for b in batches]).reshape(-1, size)


# ----------------------------------------------------------------------------------------------------- batches


def test_batches_depend_on_the_seed_alone(config):
    first = take(pipeline.training_batches([MemorySplit()], config), 6)
    assert_same_batches(first, take(pipeline.training_batches([MemorySplit()], config), 6))
    other = take(pipeline.training_batches([MemorySplit()], replace(config, seed=1)), 1)
    assert (first[0]["frames"] != other[0]["frames"]).any()


def test_making_batches_throws_no_switch_of_the_process(config):
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        take(pipeline.training_batches([MemorySplit()], config), 1)
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_batches_are_identical_with_workers_and_after_a_restart(config, tmp_path):
    frames = [decoded(MemorySplit(folder=tmp_path))]
    ten = take(pipeline.training_batches(frames, config), 10)

    two = replace(config, data=replace(config.data, workers=2))
    with_workers = pipeline.training_batches(frames, two)
    assert_same_batches(ten[:5], take(with_workers, 5))
    position = with_workers.get_state()
    assert_same_batches(ten[5:], take(with_workers, 5))
    with_workers.close()

    again = pipeline.training_batches(frames, config)  # a position is valid for any number of workers
    take(again, 2)
    again.set_state(position)
    assert_same_batches(ten[5:], take(again, 5))
    again.set_state({"next_index": 3})  # backwards too
    assert_same_batches(ten[3:], take(again, 7))


def as_host(monkeypatch, index, count):
    monkeypatch.setattr(jax, "process_index", lambda: index)
    monkeypatch.setattr(jax, "process_count", lambda: count)


@pytest.mark.parametrize("name", ["a", "a=2, b=1"])
def test_two_hosts_make_the_batches_of_one(config, monkeypatch, name):
    config = mixed(config, name)
    sources = [MemorySplit(10), MemorySplit(7)][: name.count(",") + 1]
    whole = take(pipeline.training_batches(sources, config), 8)
    parts = []
    for host in range(2):
        as_host(monkeypatch, host, 2)
        parts.append(take(pipeline.training_batches(sources, config), 8))
    for batch, *halves in zip(whole, *parts, strict=True):
        for key, values in batch.items():
            assert len(halves[0][key]) == 2
            together = np.stack([h[key] for h in halves], axis=1).reshape(values.shape)
            np.testing.assert_array_equal(together, values, err_msg=key)


@pytest.mark.parametrize(("frames", "batch", "batches"), [(10, 5, 4), (10, 4, 5), (7, 3, 7)])
def test_epoch_has_every_frame_once(config, frames, batch, batches):
    config = replace(config, batch_size=batch)
    seen = epochs(take(pipeline.training_batches([MemorySplit(frames)], config), batches), frames)
    assert len(seen) > 1
    assert (np.sort(seen) == np.arange(frames)).all()
    assert (seen[0] != seen[1]).any()  # another order


def test_small_heads_and_femurs_are_shown_more_often(config):
    """Heads under 110 mm three times an epoch, femurs twice, all others once; a head without a size is no small one."""
    frames = MemorySplit(5).frames
    kinds = [("head", {"hc_mm": 109.9}), ("head", {"hc_mm": 110.0}), ("head", {}), ("femur", {"fl_mm": 9.0})]
    frames[:4] = [replace(f, plane=p, truth_mm=t) for f, (p, t) in zip(frames[:4], kinds, strict=True)]
    frames[4] = replace(frames[4], plane="abdomen", truth_mm={"ac_mm": 80.0})
    config = replace(config, batch_size=8, data=from_values({"data.early_heads": 3, "data.femurs": 2}).data)
    for batch in take(pipeline.training_batches([frames], config), 3):
        assert sorted(batch["index"]) == [0, 0, 0, 1, 2, 3, 3, 4]


def test_mixture_keeps_its_weights_and_the_epochs_of_each_part(config):
    batches = take(pipeline.training_batches([MemorySplit(5), MemorySplit(10)], mixed(config, "a=1, b=3")), 20)
    index = np.concatenate([b["index"] for b in batches])
    first, second = index[index < 5], index[index >= 5]
    assert (len(first), len(second)) == (20, 60)
    assert all((b["index"] < 5).sum() == 1 for b in batches)  # evenly, not only in the long run
    assert (np.sort(first.reshape(-1, 5)) == np.arange(5)).all()
    assert (np.sort(second.reshape(-1, 10)) == np.arange(5, 15)).all()


@pytest.mark.parametrize("name", ["", "a,b", "a=1,b", "a=0,b=1", "a=-1,b=2", "a=nan,b=1", "a=inf,b=1", "a=x", "a=1,"])
def test_mixture_without_weights_is_refused(name):
    with pytest.raises(UserError, match=r"config\.data\.name .* weights"):
        from_values({"data.name": name})


@pytest.mark.parametrize("name", ["a=1,a=2", "hc18/benchmark=1, hc18/examinations=1"])
def test_data_set_is_mixed_once(name):
    with pytest.raises(UserError, match="once, in one configuration"):
        from_values({"data.name": name})


def test_shares_of_a_mixture_sum_to_one(config):
    shares = mixture(mixed(config, "hc18/benchmark=3, fetal_phantom/large=1"))
    assert shares == {"hc18/benchmark": 0.75, "fetal_phantom/large": 0.25}
    assert mixture(mixed(config, "hc18/benchmark")) == {"hc18/benchmark": 1.0}


@pytest.mark.parametrize("name", ["hc18", "hc18/benchmark"])
def test_data_set_without_class_loss_has_no_plane(config, name):
    data = replace(config.data, name={"hc18/benchmark": 1.0, "fetal_phantom": 1.0}, no_class_loss=(name,))
    config = replace(config, data=data)
    batches = take(pipeline.training_batches([MemorySplit(6), MemorySplit(6)], config), 6)
    index, plane = (np.concatenate([b[key] for b in batches]) for key in ("index", "plane"))
    assert (plane[index < 6] == -1).all()
    assert set(plane[index >= 6]) == {0, 1}


def test_plane_outside_the_list_is_other_or_unknown():
    thorax = MemorySplit()[1]
    assert pipeline.plane_index(thorax, ("other", "head")) == 0
    assert pipeline.plane_index(thorax, ("head", "femur")) == -1


# --------------------------------------------------------------------------------------------- decoded frames


def test_decoded_frames_equal_those_of_the_split(tmp_path):
    split = MemorySplit(folder=tmp_path)
    frames = decoded(split)
    assert len(frames) == len(split.frames)
    for found, frame in zip(frames, split.frames, strict=True):
        np.testing.assert_array_equal(found.image, frame.image)
        assert repr(vars(found) | {"image": 0}) == repr(vars(frame) | {"image": 0})  # repr, because NaN != NaN


def test_frames_are_decoded_once(tmp_path):
    decoded(MemorySplit(folder=tmp_path))

    class Gone(MemorySplit):
        def __getitem__(self, i):
            raise AssertionError("decoded again")

    assert len(decoded(Gone(folder=tmp_path))) == 10


def test_each_split_has_its_own_file(tmp_path):
    other = MemorySplit(4, folder=tmp_path)
    other.digest = "4567"
    decoded(MemorySplit(folder=tmp_path))
    assert len(decoded(other)) == 4


def test_interrupted_decoding_leaves_no_file(tmp_path):
    class Broken(MemorySplit):
        def __getitem__(self, i):
            if i == 5:
                raise KeyboardInterrupt
            return super().__getitem__(i)

    with pytest.raises(KeyboardInterrupt):
        decoded(Broken(folder=tmp_path))
    assert not list(tmp_path.iterdir())
    assert len(decoded(MemorySplit(folder=tmp_path))) == 10


def test_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone.* cannot be written"):
        decoded(MemorySplit(folder=tmp_path / "gone"))


def test_pickled_frames_are_the_path_of_their_folder(tmp_path):
    make, arguments = decoded(MemorySplit(folder=tmp_path)).__reduce__()
    assert make is Decoded
    assert [a.parent for a in arguments] == [tmp_path]


# ------------------------------------------------------------------------------------------ pixels and geometry


def test_close_ups_show_the_structure_large_and_say_no_plane(config):
    none = {"rotate_degrees": 0.0, "shift": 0.0}
    whole = replace(config, augment=replace(config.augment, **none, zoom=(0.5, 0.5)))
    config = replace(whole, augment=replace(whole.augment, close_ups=0.5))
    bone, nobody = MemorySplit()[1], MemorySplit()[2]
    drawn = [pipeline.augmented(bone, np.random.default_rng(i), config) for i in range(200)]
    lengths = np.array([Shaft(*d["shape_params"]).length for d in drawn])
    middles = np.array([Shaft(*d["shape_params"]).ends.mean(0) for d in drawn])
    planes = np.array([d["plane"] for d in drawn])
    assert 70 < (planes == -1).sum() < 130
    np.testing.assert_allclose(middles[planes == -1], [[48, 32]] * (planes == -1).sum(), atol=1e-3)
    assert 0.4 * 96 < lengths[planes == -1].min() < 0.5 * 96 < 0.75 * 96 < lengths[planes == -1].max() < 0.9 * 96
    assert lengths[planes != -1].max() < 0.3 * 96
    assert all(pipeline.augmented(nobody, np.random.default_rng(i), config)["plane"] == 1 for i in range(20))


@pytest.mark.parametrize("canvas", [(64, 96), (160, 208), (224, 288), (600, 800)])  # shrinks by 7, 3, 2 and grows
def test_training_without_augmentation_sees_what_inference_sees(config, canvas):
    zero = dict.fromkeys(("rotate_degrees", "shift", "gain", "offset", "gamma", "noise", "blur"), 0.0)
    off = replace(config.augment, **zero, zoom=(1.0, 1.0), flip=False)
    config = replace(config, augment=off, input_shape=canvas)
    rng = np.random.default_rng(2)  # its first draw skips the blur
    image = draw("head", 0).image[1:, :-2]  # an odd size
    frame = Frame(image, "head", "none", None, None, {}, "", "")
    letterbox = Letterbox(*canvas)
    corners = geometry.apply(letterbox.to_network(image.shape), [(0, 0), image.shape[::-1]])
    (x0, y0), (x1, y1) = corners.round().astype(int)
    inside = np.s_[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2]
    trained = pipeline.augmented(frame, rng, config)["frames"][..., 0].astype(float)
    difference = (trained - letterbox(image))[inside]
    assert np.abs(difference).mean() < 0.6  # grey levels; half a pixel off is 1.2 to 5
    assert abs(difference.mean()) < 0.1


SUPERSAMPLED = 8


def augmented_mask(shape, frame_shape, to_network, canvas):
    """The fraction of each network pixel that an eight times finer mask covers, warped as pixels are; and the mask
    resampled once, as a frame is."""
    rows, columns = (SUPERSAMPLED * n for n in frame_shape)
    finer = geometry.stretch(SUPERSAMPLED, SUPERSAMPLED)
    fine = np.zeros((rows, columns), np.uint8)
    for start in range(0, rows, 480):  # in strips: the whole would take 300 MB
        strip = shape.transform(geometry.compose(geometry.affine(shift=(0, -start)), finer))
        fine[start : start + 480] = 255 * geometry.mask(strip, 480, columns)
    coarser = geometry.compose(to_network, geometry.invert(finer))
    both = fast_warp(fine, geometry.compose(finer, coarser), tuple(SUPERSAMPLED * n for n in canvas)) / 255
    covered = both.reshape(canvas[0], SUPERSAMPLED, canvas[1], SUPERSAMPLED).mean((1, 3))
    return covered, fast_warp(fine, coarser, canvas) / 255


def fitted(target, plane):
    found = biometry.measure(target, plane=plane, spacing_mm=None)
    return np.asarray(found.ellipse or found.shaft)


@pytest.mark.parametrize(("plane", "seed"), [("head", 0), ("abdomen", 1), ("femur", 2), ("head", 9)])
def test_warp_and_geometry_agree_on_phantoms(config, plane, seed):
    canvas = (224, 288)
    phantom = draw(plane, seed)
    similarity = random_similarity(np.random.default_rng(seed), config.augment, canvas)
    to_network = geometry.compose(similarity, Letterbox(*canvas).to_network(phantom.image.shape))
    mapped = phantom.shape.transform(to_network)
    kind = jnp.asarray([GEOMETRIES.index(KINDS[type(mapped)])])
    target = np.asarray(coverage(kind, jnp.asarray(np.asarray(mapped, np.float32))[None], canvas))[0]
    covered, resampled = augmented_mask(phantom.shape, phantom.image.shape, to_network, canvas)

    edge = (covered > 0) & (covered < 1)
    assert edge.sum() > 100
    error = (target - covered)[edge]
    assert np.abs(error).mean() <= 0.04  # half a pixel off is 0.3
    assert abs(error.mean()) <= 0.005
    if plane != "femur":  # its ends may come in the other order
        for map_ in (target, resampled):  # the second sees the half pixel of a frame's own resampling
            np.testing.assert_allclose(fitted(map_, plane)[:4], np.asarray(mapped)[:4], atol=0.03)


# ------------------------------------------------------------------------------------------------ contact sheet


def test_contact_sheet_shows_every_frame_before_and_after(config):
    splits = [MemorySplit(7), MemorySplit(4)]
    sheet = contact_sheet(splits, config)
    np.testing.assert_array_equal(sheet, contact_sheet(splits, config))
    height, width = sheet.shape[0] // 3, sheet.shape[1] // COLUMNS  # 11 cells in three rows
    canvas = config.input_shape
    assert width == 2 * canvas[1]
    cells = [sheet[r * height :, c * width : (c + 1) * width][: canvas[0]] for r in range(3) for c in range(COLUMNS)]
    drawn = [[(half.min(-1) < half.max(-1)).any() for half in np.hsplit(cell, 2)] for cell in cells]  # in colour
    frames = [*splits[0].frames, *splits[1].frames]
    assert drawn == [[frame.shape is not None] * 2 for frame in frames] + [[False] * 2]
    assert not cells[-1].any()
