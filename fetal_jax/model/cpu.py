"""CPU-specific code: the kernel gradient of a convolution, and the memory allocator."""

from __future__ import annotations

import ctypes
import sys

import jax
import jax.numpy as jnp

STRIP = 1024
"""Largest number of a frame's pixels in one matrix product of `kernel_gradient`, unless a single row has more."""


def kernel_gradient(x: jax.Array, g: jax.Array) -> jax.Array:
    """Gradient of the kernel of a 3x3 'SAME' convolution, as matrix products.

    Tap (i, j) is the sum over the pixels of x[h + i - 1, w + j - 1] g[h, w], which equals that of x[h + i - 1, w] and
    g[h, w - j + 1]. With x in three row shifts and g in three column shifts, (3C, P) @ (P, 3F) gives all nine taps.
    XLA's own form convolves with a window of the size of the frame and takes four to ten times as long.

    A loop over strips of rows shifts one strip at a time. Without it XLA shifts the whole of x in the forward pass,
    three copies, and keeps them until g is there: 1,290 MB of temporaries a device against 755 (256x256, five levels,
    four frames a device), for 3 % more time. Each example has its own sum, so that the loop of a sharded batch sends
    nothing between devices.

    Args:
      x: (B, H, W, C), the input of the convolution.
      g: (B, H, W, F), the gradient of its output.

    Returns:
      (3, 3, C, F).
    """
    b, h, w, c = x.shape
    f = g.shape[-1]
    x = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    g = jnp.pad(g, ((0, 0), (0, 0), (1, 1), (0, 0)))
    sums = x.dtype if x.dtype.itemsize > 4 else jnp.float32

    def product(x: jax.Array, g: jax.Array, result: str) -> jax.Array:
        rows = jnp.concatenate([x[:, i : i + g.shape[1]] for i in range(3)], axis=-1).reshape(b, -1, 3 * c)
        columns = jnp.concatenate([g[:, :, 2 - j : 2 - j + w] for j in range(3)], axis=-1).reshape(b, -1, 3 * f)
        return jnp.einsum(f"bpc,bpf->{result}", rows, columns, preferred_element_type=sums)

    def add(k: jax.Array, taps: jax.Array) -> jax.Array:
        x_strip = jax.lax.dynamic_slice_in_dim(x, k * strip, strip + 2, axis=1)
        return taps + product(x_strip, jax.lax.dynamic_slice_in_dim(g, k * strip, strip, axis=1), "bcf")

    strip = max(n for n in range(1, h + 1) if h % n == 0 and n * w <= max(STRIP, w))
    if strip == h:  # few pixels of many channels: the examples' own sums would be larger than the shifted copies
        taps = product(x, g, "cf")
    else:
        taps = jax.lax.fori_loop(0, h // strip, add, jnp.zeros((b, 3 * c, 3 * f), sums)).sum(0)
    return taps.reshape(3, c, 3, f).transpose(0, 2, 1, 3).astype(x.dtype)


def keep_freed_memory() -> None:
    """Let the C library keep memory that this process frees, if it is glibc.

    XLA allocates its temporaries in each step, glibc maps and unmaps them, and Linux clears every page at its first
    touch: half the time of the kernel gradient above (82 ms against 33, 256x256x32 to 32). It changes the whole
    process, so that only commands call it, before other threads have memory of their own.

    With one arena, the memory of other threads ends up between the temporaries, and those of the next step do not fit
    into the holes: five levels at 256x256, batch 8, take 3.0 to 5.8 GB. With two they take 2.3 to 2.8 GB, and about
    5 % more time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        trim_threshold, mmap_max, arena_max = -1, -4, -8  # malloc.h
        mallopt(trim_threshold, -1)
        mallopt(mmap_max, 0)
        mallopt(arena_max, 2)
