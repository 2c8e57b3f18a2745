"""Each change of grey values does what its key says, and nothing when it is off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fetal_jax.config import AugmentConfig
from fetal_jax.data import augment

SHAPE = (120, 160)
EXTRA = {"speckle": 0.2, "bands": 0.3, "shadow": 0.8, "border": 0.1, "calipers": True, "jpeg": 50.0}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def grey():
    return np.full(SHAPE, 100, np.uint8)


@pytest.mark.parametrize("extra", [{}, EXTRA, *({k: v} for k, v in EXTRA.items())], ids=str)
def test_intensity_keeps_type_and_shape(rng, extra):
    config = AugmentConfig(**extra)
    image = rng.integers(0, 255, SHAPE).astype(np.uint8)
    outs = [augment.random_intensity(rng, config, image) for _ in range(20)]
    assert all(o.dtype == np.uint8 and o.shape == SHAPE for o in outs)
    assert np.std([o.mean() for o in outs]) > 3
    assert (image == np.random.default_rng(0).integers(0, 255, SHAPE)).all()  # the input is not changed


@pytest.mark.parametrize("key", EXTRA)
def test_optional_change_applies_to_half_of_the_frames(key):
    image = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)
    off = AugmentConfig(**dict.fromkeys(("gain", "offset", "gamma", "noise", "blur"), 0.0))
    on = replace(off, **{key: EXTRA[key]})
    changed = 0
    for seed in range(60):
        plain, other = (augment.random_intensity(np.random.default_rng(seed), config, image) for config in (off, on))
        changed += (plain != other).any()
    assert 18 <= changed <= 42


def test_noise_deviation_is_at_most_the_strength(rng, grey):
    deviations = [augment.noise(rng, 0.04, grey).std() for _ in range(200)]
    assert max(deviations) == pytest.approx(0.04 * 255, rel=0.05)
    assert np.mean(deviations) == pytest.approx(0.02 * 255, rel=0.15)
    assert augment.noise(rng, 0.04, grey).mean() == pytest.approx(100, abs=0.5)


def test_noise_differs_from_frame_to_frame(rng):
    fields = [augment.normal_field(rng, SHAPE) for _ in range(4)]
    correlation = np.corrcoef([f.ravel() for f in fields])
    assert np.abs(correlation - np.eye(4)).max() < 0.05


def test_speckle_scales_with_the_echoes_and_keeps_their_mean(rng, grey):
    contrasts = [augment.speckle(rng, 0.2, grey).std() / 100 for _ in range(200)]
    assert 0.16 < max(contrasts) < 0.24
    assert augment.speckle(rng, 0.2, grey).mean() == pytest.approx(100, rel=0.02)
    assert not augment.speckle(rng, 0.2, np.zeros_like(grey)).any()


def test_bands_depend_on_depth_alone(rng, grey):
    banded = augment.gain_bands(rng, 0.3, grey)
    assert (banded == banded[:, :1]).all()
    assert len(np.unique(banded)) > 5
    assert banded.min() >= 70
    assert banded.max() <= 130


def test_shadow_darkens_a_sector_below_its_start(rng, grey):
    for _ in range(20):
        shadowed = augment.shadow(rng, 0.8, grey)
        dark = shadowed < 100
        assert shadowed.max() == 100
        assert shadowed.min() >= 19
        assert dark.mean() < 0.5
        columns = dark.sum(1)
        assert (np.diff(columns[columns > 0]) >= -1).all() or dark[:, [0, -1]].any()  # it widens, or reaches a side


def test_border_blackens_margins_alone(rng, grey):
    for _ in range(20):
        bordered = augment.border(rng, 0.1, grey)
        rows, columns = np.nonzero(bordered)
        inside = bordered[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (inside == 100).all()
        assert inside.shape[0] >= 0.8 * SHAPE[0]
        assert inside.shape[1] >= 0.8 * SHAPE[1]


def test_calipers_are_few_bright_dots(rng, grey):
    for _ in range(20):
        before = grey.copy()
        marked = augment.calipers(rng, grey)
        assert (grey == before).all()
        touched = marked != grey
        assert 0.0005 < touched.mean() < 0.03
        assert len(np.unique(marked)) == 2
        assert marked.max() >= 160


def test_jpeg_loss_grows_with_strength():
    image = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)
    losses = [np.abs(augment.jpeg(np.random.default_rng(0), s, image).astype(int) - image).mean() for s in (1, 30, 90)]
    assert losses[0] < losses[1] < losses[2]
