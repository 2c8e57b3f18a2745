"""Where a run starts from: the parameters of a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fetal_jax import bundle
from fetal_jax.config import portable, renamed
from fetal_jax.errors import UserError


def check_start(folder: Path, config: Any) -> None:
    """Whether a recipe may start from a bundle; says so where its class head cannot be taken over.

    Raises:
      UserError: no bundle, one without ONNX, or one of another network; names the keys to give.
    """
    info = bundle.read(folder)
    if bundle.ONNX not in info.files:
        raise UserError(f"{folder} has no {bundle.ONNX}, which holds the parameters: export it with --onnx")
    ours = json.loads(json.dumps(portable(config)))
    stored = renamed(info.training.get("recipe", {}))
    theirs = {k: v for k, v in stored.items() if k.startswith("model.") and k != "model.dtype"}
    differ = [f"--config.{k}={tuple(v) if isinstance(v, list) else v}" for k, v in theirs.items() if ours.get(k) != v]
    if differ:
        given = " ".join(f"'{key}'" if "(" in key else key for key in differ)
        raise UserError(f"config.init.bundle is {folder}, of another network: give {given}")
    if info.planes != tuple(config.planes):
        told = [", ".join(planes) for planes in (info.planes, config.planes)]
        print(f"{folder} tells apart {told[0]}; this recipe {told[1]}: the class head starts anew", flush=True)


def bundle_parameters(folder: Path, config: Any, like: Any) -> tuple[Any, str]:
    """The parameters that a bundle's `model.onnx` holds, as a tree like the given one, and their licence.

    Args:
      folder: a bundle that `check_start` lets pass.
      config: a recipe. With other planes than the bundle's, the class head is left out.
      like: parameters, or their shapes.

    Raises:
      UserError: no bundle, or one of another network.
    """
    info = bundle.read(folder)
    kept = () if info.planes == tuple(config.planes) else ("plane",)
    onnx_graph = _onnx_graph()
    import onnx

    wanted = {k: v for k, v in like.items() if k not in kept}
    return onnx_graph.parameters(onnx.load(folder / bundle.ONNX), wanted), info.licence


def _onnx_graph() -> Any:
    try:
        from fetal_jax.model import onnx_graph
    except ImportError:
        raise UserError("onnx is not installed: pip install '.[export]'") from None
    return onnx_graph
