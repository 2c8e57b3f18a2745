"""Start parameters of a run, in place of random ones: from a bundle (`init.bundle`) or SonoNet16 (`init.sononet`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fetal_jax import bundle
from fetal_jax import config as configuration
from fetal_jax.config import Config
from fetal_jax.data.source import Frame
from fetal_jax.data.training_record import before_run_from
from fetal_jax.errors import UserError
from fetal_jax.files import absolute, in_bucket
from fetal_jax.training import sononet

SAME_PARAMETERS = ("model.dtype", "model.precision")
"""Keys of a network that another run may change: they say how it is computed, not what it is."""


def check_start(config: Config) -> None:
    """Refuse a start that is impossible, before anything is written or computed.

    Raises:
      UserError: both starts are given, or the given one does not fit the network; names the keys to give.
    """
    if config.init.bundle and config.init.sononet:
        raise UserError("config.init.bundle and config.init.sononet are both given: give one of them")
    if config.init.bundle:
        check_bundle(_place(config.init.bundle), config)
    elif config.init.sononet:
        sononet.check(_place(config.init.sononet), config)


def _place(name: str) -> Any:
    """Path of a bundle's folder or of SonoNet's file: in a bucket, which all hosts read, or on this host's disk."""
    return absolute(name) if in_bucket(name) else bundle.find(name)


def described(config: Config) -> str:
    """Name what a new run starts from, in a few words."""
    if config.init.bundle:
        return f"bundle {config.init.bundle}"
    return f"SonoNet16 of {config.init.sononet}" if config.init.sononet else "random parameters"


def start_parameters(
    config: Config, params: Any, sources: Sequence[Sequence[Frame]]
) -> tuple[Any, str, list[dict[str, Any]]]:
    """Load the parameters to start from, the licence of their weights, and the record of their training.

    The last is `training_record.before` of the run. For SonoNet it is empty: its weights saw no data set of ours.

    Args:
      config: the configuration of the run, which names a bundle or SonoNet's file.
      params: random parameters of its network.
      sources: the training frames of each data set.

    Raises:
      UserError: as `check_start`.
    """
    if config.init.bundle:
        folder = _place(config.init.bundle)
        return *bundle_parameters(folder, config, params), before_run_from(bundle.read(folder).training)
    return sononet.start(_place(config.init.sononet), params, config, sources), sononet.LICENCE, []


def check_bundle(folder: Path, config: Config) -> None:
    """Refuse a bundle of another network. If its planes differ, print that the classification head starts at random.

    Raises:
      UserError: there is no bundle, it has no ONNX file, or it is of another network; names the keys to give.
    """
    info = bundle.read(folder)
    if bundle.ONNX not in info.files:
        raise UserError(f"{folder} has no {bundle.ONNX}, which holds the parameters: export the run again")
    onnx_graph()
    ours = json.loads(json.dumps(configuration.portable(config)))
    stored = configuration.renamed(info.training.get("recipe", {}))
    theirs = {k: v for k, v in stored.items() if k.startswith("model.") and k not in SAME_PARAMETERS}
    differ = [f"--config.{k}={tuple(v) if isinstance(v, list) else v}" for k, v in theirs.items() if ours.get(k) != v]
    if differ:
        given = " ".join(f"'{key}'" if "(" in key else key for key in differ)
        raise UserError(f"config.init.bundle is {folder}, of another network: give {given}")
    if info.planes != tuple(config.planes):
        planes = f"{folder} has the planes {', '.join(info.planes)}; this run has {', '.join(config.planes)}"
        print(f"{planes}: the classification head is initialised at random", flush=True)


def bundle_parameters(folder: Path, config: Config, like: Any) -> tuple[Any, str]:
    """Read the parameters of a bundle's `model.onnx`, as a tree like `like`, and their licence.

    Args:
      folder: a bundle that `check_bundle` accepts.
      config: the configuration of the run. If its planes are not the bundle's, the class head is left out.
      like: parameters, or their shapes.

    Raises:
      UserError: there is no bundle, or it is of another network.
    """
    info = bundle.read(folder)
    left_out = () if info.planes == tuple(config.planes) else ("plane",)
    graph = onnx_graph()
    import onnx

    wanted = {k: v for k, v in like.items() if k not in left_out}
    return graph.parameters(onnx.load_from_string((folder / bundle.ONNX).read_bytes()), wanted), info.licence


def onnx_graph() -> Any:
    """Import the module `model.onnx_graph`, which needs the `export` extra.

    Raises:
      UserError: onnx is not installed.
    """
    try:
        from fetal_jax.model import onnx_graph
    except ImportError:
        raise UserError("onnx is not installed: pip install '.[export]'") from None
    return onnx_graph
