"""A run's checkpoint -> parameters -> a bundle."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from fetal_jax import bundle
from fetal_jax import config as recipe
from fetal_jax.errors import UserError
from fetal_jax.model import unet
from fetal_jax.training import checkpoints
from fetal_jax.training.live import bundle_info
from fetal_jax.training.log import Progress
from fetal_jax.training.sharding import Sharding
from fetal_jax.training.start import _onnx_graph
from fetal_jax.training.step import initial_state, optimiser

PLATFORMS = ("cpu", "cuda", "tpu")

LICENCES = {
    "hc18": "Weights trained on HC18 (T. L. A. van den Heuvel et al., doi 10.5281/zenodo.1327317), CC BY 4.0.",
    "fetal_planes": "Weights trained on FETAL_PLANES_DB (X. P. Burgos-Artizzu et al., doi 10.5281/zenodo.3904280), "
    "CC BY 4.0, and on calipers of arXiv 2512.16710 where they were joined, CC BY-NC-SA 4.0.",
    "fetal_phantom": "Weights trained on drawn frames, Apache-2.0.",
    "folder": "Weights trained on the exporter's own frames, which may be used as their owner says.",
}


def load_run(workdir: Path, best: bool = False) -> tuple[Any, Any, int, dict[str, Any]]:
    """(recipe, EMA parameters, step, meta) of a run's newest checkpoint, or its best, onto the devices at hand.

    Raises:
      UserError: no run there, or none that has saved yet, or the best is asked for and none was validated.
    """
    config = recipe.from_json(workdir / "config.json")
    if not (workdir / checkpoints.FOLDER).is_dir():
        raise UserError(f"{workdir} has no checkpoint yet: run fetal-jax train first")
    manager = checkpoints.manager(workdir)
    step = manager.latest_step()
    if step is None:
        raise UserError(f"{workdir} has no checkpoint yet: run fetal-jax train first")
    network, tx = unet.from_config(config.model, len(config.planes)), optimiser(config)
    abstract = jax.eval_shape(lambda: initial_state(network, tx, config))
    one = Sharding.create(-1, 1).replicated
    abstract = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=one), abstract)
    state, meta = checkpoints.restore(manager, step, abstract)
    if best:
        progress = Progress()
        progress.take(meta)
        step = checkpoints.lowest(manager.all_steps(), progress.failures)
        if step is None:
            raise UserError(f"{workdir} has no checkpoint that was validated: leave out --best")
        state, meta = checkpoints.restore(manager, step, abstract)
    manager.close()
    return config, state.ema, step, meta


def write_bundle(
    workdir: Path,
    out: Path,
    with_onnx: bool,
    with_half: bool = False,
    metrics: Path | None = None,
    best: bool = False,
) -> None:
    """Export a checkpoint of a run into a bundle directory.

    Args:
      workdir: of `fetal-jax train`.
      out: the bundle; made, or overwritten if it is one.
      with_onnx: also write `model.onnx`, which `measure` runs.
      with_half: also write `model.half.onnx`, of half the size.
      metrics: `metrics.json` of `fetal-jax evaluate`, to stand in `bundle.json`.
      best: the checkpoint of the lowest validation figure, in place of the newest.

    Raises:
      UserError: no checkpoint, `out` holds something else, or the metrics cannot be read.
    """
    measured = read_metrics(metrics) if metrics else {}
    config, params, step, meta = load_run(workdir, best)
    if out.exists() and any(out.iterdir()) and not (out / bundle.INFO).is_file():
        raise UserError(f"{out} is not empty and no bundle: give another --out")
    out.mkdir(parents=True, exist_ok=True)
    for name in (bundle.ONNX, bundle.HALF, bundle.STABLEHLO):
        (out / name).unlink(missing_ok=True)
    params = jax.tree.map(np.asarray, params)

    (out / bundle.STABLEHLO).write_bytes(stablehlo(config, params))
    if with_onnx or with_half:
        onnx_graph = _onnx_graph()
        graph = onnx_graph.build(params, config.model, tuple(config.input_shape))
        if with_onnx:
            (out / bundle.ONNX).write_bytes(graph.SerializeToString())
        if with_half:
            (out / bundle.HALF).write_bytes(onnx_graph.half(graph).SerializeToString())

    info = replace(
        bundle_info(config),
        training={
            **{key: meta[key] for key in ("datasets", "dataset", "fingerprint") if key in meta},
            "steps": step,
            "recipe": recipe.portable(config),
            "fetal_jax": version("fetal_jax"),
        },
        licence=licence(config, meta.get("origin", "")),
        metrics=measured,
    )
    (out / bundle.CARD).write_text(model_card(info))
    bundle.write(out, info)


def licence(config: Any, origin: str) -> str:
    """What the weights of a recipe's run may be used for, by the data and by the weights that it started from."""
    data = [LICENCES[name] for name in sorted({n.split("/")[0] for n in recipe.mixture(config)})]
    return " ".join([*data, *([f"Started from: {origin}"] if origin else [])])


def read_metrics(path: Path) -> dict[str, Any]:
    """`metrics.json` of an evaluation.

    Raises:
      UserError: it cannot be read, or holds something else.
    """
    try:
        metrics = json.loads(path.read_text())
    except (OSError, ValueError):
        raise UserError(f"{path} cannot be read: give metrics.json of fetal-jax evaluate") from None
    if not isinstance(metrics, dict):
        raise UserError(f"{path} holds no metrics: give metrics.json of fetal-jax evaluate")
    return metrics


def stablehlo(config: Any, params: Any) -> bytes:
    """The network as serialised StableHLO, for any batch size, on `PLATFORMS`. It names no file of this machine."""
    jax.config.update("jax_hlo_source_file_canonicalization_regex", ".*")  # what it matches is left out of a path
    network = unet.from_config(config.model, len(config.planes))
    (batch,) = jax.export.symbolic_shape("b")
    frames = jax.ShapeDtypeStruct((batch, *config.input_shape, 1), jnp.uint8)
    exported = jax.export.export(jax.jit(lambda x: network.apply({"params": params}, x)), platforms=PLATFORMS)(frames)
    return bytes(exported.serialize())


def model_card(info: bundle.BundleInfo) -> str:
    """`MODEL_CARD.md`: what the network is, from what, under which licence."""
    training = info.training
    return f"""# Model card

Research software. **Not for clinical use.**

- Names these planes: {", ".join(info.planes)}; segments the structure of the plane.
- Input: one grey frame, letterboxed to {info.input_shape[0]}x{info.input_shape[1]} pixels; predictions are
  {"averaged with those of the mirrored frame" if info.flip_average else "of the frame alone"}.
- Trained for {training["steps"]} steps on {training["fingerprint"]}.
- {info.licence}
- A femur's width: {info.shaft_width}.
- Frames of other hospitals and machines than those it was trained on may fail.
"""
