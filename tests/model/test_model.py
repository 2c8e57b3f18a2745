"""The network, and its array operations against their plain forms."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fetal_jax.config import from_values
from fetal_jax.model import ops, unet

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def changed(**changes):
    return from_values({"model": {"width": 8, "multipliers": (1, 2, 2), "depths": (1, 2, 1), **changes}}).model


def network(**changes):
    return unet.from_config(changed(**changes), 3)


def pull(f, *inputs):
    """Value and gradients of a sum with random weights, which no symmetry hides."""
    weights = jax.random.normal(jax.random.key(9), jax.eval_shape(f, *inputs).shape)
    return jax.value_and_grad(lambda *x: (f(*x) * weights).sum(), argnums=tuple(range(len(inputs))))(*inputs)


def assert_same(f, g, *inputs):
    (value, grads), (other, others) = pull(f, *inputs), pull(g, *inputs)
    np.testing.assert_allclose(value, other, **CLOSE)
    for one, two in zip(grads, others, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)


def plain_conv3x3(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize(("h", "w"), [(5, 8), (36, 64), (67, 20), (2, 1100)])  # strips of 5, 12, 1, 1 rows
@pytest.mark.parametrize(("dtype", "off"), [("float64", 1e-13), ("float32", 1e-5), ("bfloat16", 2e-2)])
def test_conv3x3_equals_the_plain_convolution(dtype, off, h, w):
    with jax.enable_x64(dtype == "float64"):
        rng = np.random.default_rng(0)
        shapes = (3, h, w, 4), (3, 3, 4, 6), (3, h, w, 6)
        x, kernel, g = (jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes)

        def both(f):
            y, pull = jax.vjp(f, x, kernel)
            return y, *pull(g)

        results = (jax.jit(both, static_argnums=0)(f) for f in (ops.conv3x3, plain_conv3x3))
        for one, two in zip(*results, strict=True):
            assert one.dtype == two.dtype == jnp.dtype(dtype)
            one, two = np.asarray(one, np.float64), np.asarray(two, np.float64)
            assert np.abs(one - two).max() <= off * np.abs(two).max()


def test_gradient_keeps_no_shifted_copies():
    block, x = unet.Block(8, 4, 4, jnp.float32), jax.ShapeDtypeStruct((2, 64, 64, 8), jnp.float32)
    params = jax.eval_shape(block.init, jax.random.key(0), x)
    compiled = jax.jit(jax.grad(lambda p, x: jnp.square(block.apply(p, x)).sum())).lower(params, x).compile()
    arrays = compiled.memory_analysis().temp_size_in_bytes / (4 * x.size)
    assert arrays < 14  # 11.2; 22.0 with the shifted copies of all four convolutions


def test_other_platforms_use_plain_convolutions():
    def text(platform):
        def grads(x, kernel):
            return jax.grad(lambda x, k: ops.conv3x3(x, k).sum(), (0, 1))(x, kernel)

        traced = jax.jit(grads).trace(jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 2, 2)))
        return traced.lower(lowering_platforms=(platform,)).as_text()

    assert "dot_general" in text("cpu")
    assert "dot_general" not in text("tpu")
    assert text("tpu").count("stablehlo.convolution") == text("cpu").count("stablehlo.convolution") + 1


def test_group_norm_equals_flax():
    x = jax.random.normal(jax.random.key(0), (2, 6, 10, 16)) * 3 + 1
    scale, bias = jax.random.normal(jax.random.key(1), (2, 16))
    plain = nn.GroupNorm(num_groups=4)
    assert_same(
        lambda x, s, b: ops.group_norm(x, s, b, 4),
        lambda x, s, b: plain.apply({"params": {"scale": s, "bias": b}}, x),
        *(x, scale, bias),
    )


@pytest.mark.parametrize("mean", [0, 5, 20])
def test_bfloat16_group_norm_is_as_exact_as_flax(mean):
    x = jnp.asarray(np.random.default_rng(0).normal(mean, 1, (2, 32, 32, 16)), jnp.bfloat16)
    grouped = np.asarray(x.astype(jnp.float32), np.float64).reshape(2, -1, 4, 4)
    exact = (grouped - grouped.mean((1, 3), keepdims=True)) / np.sqrt(grouped.var((1, 3), keepdims=True) + 1e-6)
    scale, bias = jnp.ones(16), jnp.zeros(16)
    with jax.numpy_dtype_promotion("standard"):  # Flax promotes bfloat16 by itself
        flax = nn.GroupNorm(num_groups=4, dtype=jnp.bfloat16).apply({"params": {"scale": scale, "bias": bias}}, x)
    ours = ops.group_norm(x, scale, bias, 4)
    assert ours.dtype == jnp.bfloat16

    def rms(y):
        return np.sqrt(np.square(np.asarray(y.astype(jnp.float32), np.float64) - exact.reshape(y.shape)).mean())

    assert rms(ours) < 1.5 * rms(flax)


def test_max_pool_equals_flax():
    x = jax.random.normal(jax.random.key(0), (2, 6, 10, 3))
    assert_same(ops.max_pool2, lambda x: nn.max_pool(x, window_shape=(2, 2), strides=(2, 2)), x)


def test_max_pool_treats_ties_and_nan_as_flax():
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


@pytest.mark.parametrize("block", [1, 2, 3])
def test_space_to_depth_is_inverse_and_gradient_of_depth_to_space(block):
    x = jax.random.normal(jax.random.key(0), (2, 2 * block, 5 * block, 4))
    deep = ops.space_to_depth(x, block)
    assert deep.shape == (2, 2, 5, block**2 * 4)
    np.testing.assert_array_equal(ops.depth_to_space(deep, block), x)
    for f in (ops.depth_to_space, ops.depth_to_space.fun):
        np.testing.assert_array_equal(jax.vjp(lambda y, f=f: f(y, block), deep)[1](x)[0], deep)


@pytest.mark.parametrize("stem", [1, 2])
def test_shapes_and_types(stem):
    frames = jax.ShapeDtypeStruct((2, 32, 48, 1), jnp.uint8)
    (maps, planes), _ = jax.eval_shape(network(stem=stem).init_with_output, jax.random.key(0), frames)
    assert (maps.shape, planes.shape) == ((2, 32, 48), (2, 3))
    assert maps.dtype == planes.dtype == jnp.float32


def test_bfloat16_keeps_parameters_and_logits_in_float32():
    net = network(dtype="bfloat16")
    frames = jax.random.randint(jax.random.key(0), (2, 32, 48, 1), 0, 255).astype(jnp.uint8)
    params = jax.jit(net.init)(jax.random.key(0), frames)
    assert {p.dtype for p in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    maps, _ = jax.jit(net.apply)(params, frames)
    assert maps.dtype == jnp.float32
    np.testing.assert_allclose(maps, jax.jit(network().apply)(params, frames)[0], atol=0.15)


def test_standardised_frames_do_not_depend_on_gain_and_offset():
    net = network(standardise=True)
    frames = jax.random.uniform(jax.random.key(0), (2, 32, 48, 1), minval=0, maxval=100)
    params = jax.jit(net.init)(jax.random.key(0), frames)
    apply = jax.jit(net.apply)
    for one, two in zip(apply(params, frames), apply(params, 2 * frames + 30), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-2)
    assert all(np.isfinite(x).all() for x in apply(params, jnp.zeros_like(frames)))


def test_probability_of_a_plane_is_the_sum_of_its_subclasses():
    frames = jax.random.randint(jax.random.key(0), (2, 32, 48, 1), 0, 255).astype(jnp.uint8)
    params = jax.jit(network(subclasses=2).init)(jax.random.key(0), frames)
    _, planes = jax.jit(network(subclasses=2).apply)(params, frames)
    _, subclasses = jax.jit(unet.from_config(changed(), 6).apply)(params, frames)  # the six subclasses as six planes
    expected = jax.nn.softmax(subclasses).reshape(2, 3, 2).sum(-1)
    np.testing.assert_allclose(jax.nn.softmax(planes), expected, **CLOSE)


def test_encoder_without_norm_has_biases_only():
    frames = jax.ShapeDtypeStruct((1, 32, 48, 1), jnp.uint8)
    tree = jax.eval_shape(network(encoder_norm=False).init, jax.random.key(0), frames)["params"]
    assert set(tree["down0"]["conv0"]) == {"conv", "bias"}
    assert set(tree["up0"]["conv0"]) == {"conv", "bias", "scale"}


def test_frames_of_a_batch_are_independent():
    net = network()
    frames = jax.random.randint(jax.random.key(0), (3, 32, 48, 1), 0, 255).astype(jnp.uint8)
    params = jax.jit(net.init)(jax.random.key(0), frames)
    apply = jax.jit(net.apply)
    np.testing.assert_allclose(apply(params, frames)[0][1:2], apply(params, frames[1:2])[0], atol=1e-4)


def test_width_changes_the_parameter_count():
    def count(width):
        frames = jax.ShapeDtypeStruct((1, 32, 48, 1), jnp.uint8)
        tree = jax.eval_shape(network(width=width).init, jax.random.key(0), frames)
        return sum(int(np.prod(p.shape)) for p in jax.tree.leaves(tree))

    assert 3.5 < count(16) / count(8) < 4.1
