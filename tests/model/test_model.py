"""The network and its array forms, each against the plain form."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fetal_jax import config as recipe
from fetal_jax.model import ops, unet

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def changed(**changes):
    config = recipe.defaults()
    config.model.update({"width": 8, "multipliers": (1, 2, 2), "depths": (1, 2, 1), **changes})
    return config.model


def network(**changes):
    return unet.from_config(changed(**changes), 3)


def pull(f, *inputs):
    """Value and gradients of a sum that no symmetry hides."""
    weights = jax.random.normal(jax.random.key(9), jax.eval_shape(f, *inputs).shape)
    return jax.value_and_grad(lambda *x: (f(*x) * weights).sum(), argnums=tuple(range(len(inputs))))(*inputs)


def assert_same(f, g, *inputs):
    (value, grads), (other, others) = pull(f, *inputs), pull(g, *inputs)
    np.testing.assert_allclose(value, other, **CLOSE)
    for one, two in zip(grads, others, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)


def plain_conv3x3(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize(("dtype", "off"), [("float64", 1e-13), ("float32", 1e-5), ("bfloat16", 2e-2)])
def test_conv3x3_is_the_plain_convolution(dtype, off):
    with jax.enable_x64(dtype == "float64"):
        rng = np.random.default_rng(0)
        shapes = (3, 5, 8, 4), (3, 3, 4, 6), (3, 5, 8, 6)
        x, kernel, g = (jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes)

        def both(f):
            y, pull = jax.vjp(f, x, kernel)
            return y, *pull(g)

        results = (jax.jit(both, static_argnums=0)(f) for f in (ops.conv3x3, plain_conv3x3))
        for one, two in zip(*results, strict=True):
            assert one.dtype == two.dtype == jnp.dtype(dtype)
            one, two = np.asarray(one, np.float64), np.asarray(two, np.float64)
            assert np.abs(one - two).max() <= off * np.abs(two).max()


def test_other_platforms_compile_plain_convolutions():
    def text(platform):
        def grads(x, kernel):
            return jax.grad(lambda x, k: ops.conv3x3(x, k).sum(), (0, 1))(x, kernel)

        traced = jax.jit(grads).trace(jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 2, 2)))
        return traced.lower(lowering_platforms=(platform,)).as_text()

    assert "dot_general" in text("cpu")
    assert "dot_general" not in text("tpu")
    assert text("tpu").count("stablehlo.convolution") == text("cpu").count("stablehlo.convolution") + 1


def test_group_norm_is_flax_group_norm():
    x = jax.random.normal(jax.random.key(0), (2, 6, 10, 16)) * 3 + 1
    scale, bias = jax.random.normal(jax.random.key(1), (2, 16))
    plain = nn.GroupNorm(num_groups=4)
    assert_same(
        lambda x, s, b: ops.group_norm(x, s, b, 4),
        lambda x, s, b: plain.apply({"params": {"scale": s, "bias": b}}, x),
        *(x, scale, bias),
    )


def test_max_pool_is_flax_max_pool():
    x = jax.random.normal(jax.random.key(0), (2, 6, 10, 3))
    assert_same(ops.max_pool2, lambda x: nn.max_pool(x, window_shape=(2, 2), strides=(2, 2)), x)


def test_max_pool_gives_ties_and_no_numbers_to_whom_flax_gives_them():
    x = jax.random.randint(jax.random.key(0), (2, 16, 16, 3), 0, 3).astype(jnp.float32)
    assert_same(ops.max_pool2, lambda x: nn.max_pool(x, window_shape=(2, 2), strides=(2, 2)), x)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        assert jnp.isnan(ops.max_pool2(x.at[0, i, j, 0].set(jnp.nan))[0, 0, 0, 0])


def test_upsampling_is_a_transposed_convolution():
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, 4))
    kernel = jax.random.normal(jax.random.key(1), (4, 4 * 6))

    def plain(x, kernel):
        taps = kernel.reshape(4, 2, 2, 6).transpose(1, 2, 0, 3)
        return jax.lax.conv_transpose(x, taps[::-1, ::-1], (2, 2), "VALID")  # JAX does not flip by itself

    assert_same(lambda x, k: ops.depth_to_space(x @ k, 2), plain, x, kernel)


def test_space_to_depth_is_undone():
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 3))
    np.testing.assert_array_equal(ops.depth_to_space(ops.space_to_depth(x, 2), 2), x)


@pytest.mark.parametrize("stem", [1, 2])
def test_shapes_and_types(stem):
    net = network(stem=stem)
    frames = jnp.zeros((2, 32, 48, 1), jnp.uint8)
    params = net.init(jax.random.key(0), frames)
    maps, planes = net.apply(params, frames)
    assert (maps.shape, planes.shape) == ((2, 32, 48), (2, 3))
    assert maps.dtype == planes.dtype == jnp.float32


def test_bfloat16_keeps_parameters_and_logits_in_float32():
    net = network(dtype="bfloat16")
    frames = jax.random.randint(jax.random.key(0), (2, 32, 48, 1), 0, 255).astype(jnp.uint8)
    params = net.init(jax.random.key(0), frames)
    assert {p.dtype for p in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    maps, _ = net.apply(params, frames)
    assert maps.dtype == jnp.float32
    np.testing.assert_allclose(maps, network().apply(params, frames)[0], atol=0.15)


def test_standardised_frames_do_not_depend_on_gain_and_offset():
    net = network(standardise=True)
    frames = jax.random.uniform(jax.random.key(0), (2, 32, 48, 1), minval=0, maxval=100)
    params = net.init(jax.random.key(0), frames)
    for one, two in zip(net.apply(params, frames), net.apply(params, 2 * frames + 30), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-2)
    assert all(np.isfinite(x).all() for x in net.apply(params, jnp.zeros_like(frames)))


def test_a_plane_is_the_sum_of_its_looks():
    frames = jax.random.randint(jax.random.key(0), (2, 32, 48, 1), 0, 255).astype(jnp.uint8)
    params = network(subclasses=2).init(jax.random.key(0), frames)
    _, planes = network(subclasses=2).apply(params, frames)
    _, looks = unet.from_config(changed(), 6).apply(params, frames)  # the six looks as six planes
    expected = jax.nn.softmax(looks).reshape(2, 3, 2).sum(-1)
    np.testing.assert_allclose(jax.nn.softmax(planes), expected, **CLOSE)


def test_without_a_norm_the_way_down_has_biases_alone():
    frames = jax.ShapeDtypeStruct((1, 32, 48, 1), jnp.uint8)
    tree = jax.eval_shape(network(encoder_norm=False).init, jax.random.key(0), frames)["params"]
    assert set(tree["down0"]["conv0"]) == {"conv", "bias"}
    assert set(tree["up0"]["conv0"]) == {"conv", "bias", "scale"}


def test_frames_of_a_batch_do_not_see_each_other():
    net = network()
    frames = jax.random.randint(jax.random.key(0), (3, 32, 48, 1), 0, 255).astype(jnp.uint8)
    params = net.init(jax.random.key(0), frames)
    np.testing.assert_allclose(net.apply(params, frames)[0][1:2], net.apply(params, frames[1:2])[0], atol=1e-4)


def test_width_changes_the_parameter_count():
    def count(width):
        frames = jax.ShapeDtypeStruct((1, 32, 48, 1), jnp.uint8)
        tree = jax.eval_shape(network(width=width).init, jax.random.key(0), frames)
        return sum(int(np.prod(p.shape)) for p in jax.tree.leaves(tree))

    assert 3.5 < count(16) / count(8) < 4.1
