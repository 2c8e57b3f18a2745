"""What runs a bundle's network: ONNX Runtime, or JAX on its StableHLO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax import bundle
from fetal_jax.bundle import BundleInfo
from fetal_jax.errors import UserError

Array = NDArray[Any]


def load(folder: Path, info: BundleInfo, runtime: str) -> Any:
    """The forward function of a bundle.

    Raises:
      UserError: the bundle has no file for that runtime, or the runtime is not installed.
    """
    loaders = {"onnx": (bundle.ONNX, _onnx), "onnx-half": (bundle.HALF, _onnx), "jax": (bundle.STABLEHLO, _stablehlo)}
    if runtime not in loaders:
        raise UserError(f"runtime {runtime!r} is unknown; there are {', '.join(loaders)}")
    name, loader = loaders[runtime]
    if name not in info.files:
        raise UserError(f"{folder} has no {name}: export it again with fetal-jax export --onnx --half")
    return loader(folder / name)


def _onnx(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # waiting threads would spin, and take the cores from what decodes and draws: half the frames a second on two cores
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:  # ONNX Runtime has an exception class for each thing that is wrong with a file
        raise UserError(f"{path} is no network that ONNX Runtime runs ({str(e)[:80]}): export it again") from None
    if [i.name for i in session.get_inputs()] != ["frames"] or len(session.get_outputs()) != 2:
        raise UserError(f"{path} is not the network of a bundle: export it again")

    def forward(frames: Array) -> tuple[Array, Array]:
        map_logits, plane_logits = session.run(None, {"frames": frames})
        return map_logits, plane_logits

    return forward


def _stablehlo(path: Path) -> Any:
    try:
        import jax
        import jax.export
    except ImportError:
        raise UserError("the jax runtime is not installed: pip install 'fetal_jax[train]', or use onnx") from None

    call = jax.jit(jax.export.deserialize(bytearray(path.read_bytes())).call)

    def forward(frames: Array) -> tuple[Array, Array]:
        map_logits, plane_logits = call(frames)
        return np.asarray(map_logits), np.asarray(plane_logits)

    return forward
