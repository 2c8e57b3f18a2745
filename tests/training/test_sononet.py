"""Start from SonoNet16, with a file of random weights in its layout."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fetal_jax.config import SONONET16, from_values
from fetal_jax.data.source import Frame
from fetal_jax.errors import UserError
from fetal_jax.model import ops, unet
from fetal_jax.training import sononet

SIZES = [(3, 1, 16), (3, 16, 16), (3, 16, 32), (3, 32, 32), (3, 32, 64), (3, 64, 64), (3, 64, 64), (3, 64, 128),
         *[(3, 128, 128)] * 5, (1, 128, 64), (1, 64, 14)]  # fmt: skip
SHAPE = (64, 96)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    rng = np.random.default_rng(0)
    arrays = []
    for k, before, after in SIZES:
        kernel = rng.normal(0, np.sqrt(2 / (k * k * before)), (after, before, k, k))
        beta, gamma, mean = rng.normal([[0], [1], [0]], 0.1, (3, after))
        arrays += [kernel, beta, gamma, mean, rng.uniform(0.8, 1.2, after)]
    arrays[0] /= 255  # SonoNet's frames are 255 times as large
    path = tmp_path_factory.mktemp("sononet") / "SonoNet16.npz"
    np.savez(path, *[a.astype(np.float32) for a in arrays])
    return path


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(1)
    return rng.integers(0, 255, (6, *SHAPE, 1)).astype(np.uint8)


def config(**model):
    return from_values({"input_shape": SHAPE, "model": SONONET16 | {"decoder": (0.5, 1, 2)} | model})


def published(path, x):
    """SonoNet as published: standardised frames (B, H, W, 1) -> the output of each pooling, and the logits."""
    with np.load(path) as arrays:
        layers = [[arrays[f"arr_{5 * i + k}"] for k in range(5)] for i in range(15)]
    x, pools = 255 * x.transpose(0, 3, 1, 2), []
    for i, (kernel, beta, gamma, mean, inverse) in enumerate(layers):
        x = jax.lax.conv(x, kernel, (1, 1), "SAME")
        beta, gamma, mean, inverse = (v[None, :, None, None] for v in (beta, gamma, mean, inverse))
        x = (x - mean) * inverse * gamma + beta
        x = jax.nn.relu(x) if i < 14 else x
        if i in (1, 3, 6, 9):
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
            pools.append(x)
    return pools, x.mean((2, 3))


def test_folded_layers_equal_the_published_ones(file, frames):
    x = ops.standardise(frames.astype(np.float32))
    pools, _ = published(file, x)
    first = sononet.first_stage(sononet.read(file), x)
    np.testing.assert_allclose(first.transpose(0, 3, 1, 2), pools[0], rtol=1e-4, atol=1e-4)


def test_network_behind_its_stem_is_sononet(file, frames, monkeypatch):
    monkeypatch.setattr(sononet, "STEPS", 2)
    made = config()
    network = unet.from_config(made.model, len(made.planes))
    params = jax.jit(network.init)(jax.random.key(0), frames)["params"]
    source = [Frame(f[..., 0], None, "unknown", None, None, {}, "", "") for f in frames]
    with jax.numpy_dtype_promotion("standard"):  # optax needs it
        params = sononet.start(file, params, made, [source])

    # SonoNet's own layers behind the stem, which two steps do not fit to SonoNet's first stage
    layers = sononet.read(file)
    x = ops.standardise(frames.astype(np.float32))
    scale = sononet.first_stage(layers, x).std((0, 1, 2))
    x = sononet.stem_stage(params["down0"], x)[..., :16] * scale[None, None, None]
    for i, (kernel, bias) in enumerate(layers[2:], start=2):
        x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = x + bias[None, None, None]
        x = jax.nn.relu(x) if i < 14 else x
        x = ops.max_pool2(x) if i in (3, 6, 9) else x
    classes = jax.nn.softmax(x.mean((1, 2)))
    expected = [sum(classes[:, k] for k, p in enumerate(sononet.PLANES) if p == plane) for plane in made.planes]

    planes = jax.nn.softmax(jax.jit(network.apply)({"params": params}, frames)[1])
    np.testing.assert_allclose(planes, np.stack(expected, axis=1), rtol=2e-3, atol=1e-5)


def test_fit_approaches_the_first_stage(file, frames, monkeypatch):
    monkeypatch.setattr(sononet, "STEPS", 150)
    made = config()
    block = jax.jit(unet.from_config(made.model, 4).init)(jax.random.key(0), frames)["params"]["down0"]
    layers, x = sononet.read(file), ops.standardise(frames.astype(np.float32))
    with jax.numpy_dtype_promotion("standard"):  # optax needs it
        stem, scale = sononet.fit_stem(layers, block, frames, seed=0)
    target = sononet.first_stage(layers, x) / scale[None, None, None]

    def error(stem):
        return float(jnp.square(sononet.stem_stage(stem, x)[..., :16] - target).mean())

    assert error(stem) < 0.5 * error(block)


def test_another_file_network_or_plane_is_refused(file, tmp_path):
    with pytest.raises(UserError, match=r"none\.npz, SonoNet16\.npz, cannot be read .*gs://BUCKET"):
        sononet.read(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(UserError, match=r"is not SonoNet16\.npz"):
        sononet.read(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", np.zeros(3))
    with pytest.raises(UserError, match=r"is not SonoNet16\.npz"):
        sononet.read(tmp_path / "other.npz")
    with pytest.raises(UserError, match=r"config\.model\.width=32"):
        sononet.check(file, config(width=16))
    with pytest.raises(UserError, match="cervix, which SonoNet does not know"):
        sononet.check(file, replace(config(), planes=("other", "cervix")))
    sononet.check(file, config())
