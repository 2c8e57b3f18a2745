"""Run a bundle's network with ONNX Runtime, or its StableHLO with JAX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax import bundle
from fetal_jax.bundle import BundleInfo
from fetal_jax.errors import UserError

Array = NDArray[Any]

RUNTIMES = {"onnx": bundle.ONNX, "jax": bundle.STABLEHLO}
"""The runtimes, and the file of a bundle that each one runs."""


def load(folder: Path, info: BundleInfo, runtime: str, threads: int = 0) -> Any:
    """Load the forward function of a bundle: frames (B, H, W, 1) uint8 -> logits (B, H, W) and (B, P), float32.

    Args:
      folder: of the bundle.
      info: its checked `bundle.json`.
      runtime: one of `RUNTIMES`.
      threads: number of threads of ONNX Runtime; 0: one per core.

    Raises:
      UserError: the bundle has no file for that runtime, or the runtime is not installed.
    """
    if runtime not in RUNTIMES:
        raise UserError(f"runtime {runtime!r} is unknown: give one of {', '.join(RUNTIMES)}")
    name = RUNTIMES[runtime]
    if name not in info.files:
        raise UserError(f"{folder} has no {name}: export it again with fetal-jax export")
    return Network(_stablehlo if runtime == "jax" else _onnx, folder / name, threads)


class Network:
    """The forward function of a network's file; pickled as the file's path, so that a process pool can send it."""

    def __init__(self, start: Callable[[Path, int], Any], path: Path, threads: int) -> None:
        """Load the network by `start(path, threads)`."""
        self._started_with = (start, path.absolute(), threads)
        self._forward = start(path, threads)

    def __call__(self, frames: Array) -> tuple[Array, Array]:
        """Frames (B, H, W, 1) -> logits (B, H, W) and (B, P)."""
        map_logits, plane_logits = self._forward(frames)
        return map_logits, plane_logits

    def __reduce__(self) -> tuple[type[Network], tuple[Any, ...]]:
        return Network, self._started_with


def _onnx(path: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # waiting threads would spin, and take cores from decoding and drawing: half the frames per second on two cores
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:  # ONNX Runtime has an exception class for each fault of a file
        raise UserError(f"{path} is not a network that ONNX Runtime runs ({str(e)[:80]}): export it again") from None
    if [i.name for i in session.get_inputs()] != ["frames"] or len(session.get_outputs()) != 2:
        raise UserError(f"{path} is not the network of a bundle: export it again")

    def forward(frames: Array) -> tuple[Array, Array]:
        map_logits, plane_logits = session.run(None, {"frames": frames})
        return map_logits, plane_logits

    return forward


def _stablehlo(path: Path, _threads: int) -> Any:
    try:
        import jax
        import jax.export
    except ImportError:
        raise UserError("the runtime jax needs JAX: install the extra `train`, or give runtime onnx") from None

    call = jax.jit(jax.export.deserialize(bytearray(path.read_bytes())).call)

    def forward(frames: Array) -> tuple[Array, Array]:
        map_logits, plane_logits = call(frames)
        return np.asarray(map_logits), np.asarray(plane_logits)

    return forward
