"""Export of a run: checkpoint -> parameters -> bundle."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from fetal_jax import __version__, bundle
from fetal_jax import config as configuration
from fetal_jax.config import Config
from fetal_jax.data.training_record import before, before_mean_of, recorded, trained_on
from fetal_jax.errors import UserError
from fetal_jax.model import unet
from fetal_jax.planes import PRIMARY
from fetal_jax.training import checkpoints
from fetal_jax.training.live import bundle_info
from fetal_jax.training.log import Progress
from fetal_jax.training.sharding import Sharding
from fetal_jax.training.start import onnx_graph
from fetal_jax.training.step import abstract_state, optimiser

PLATFORMS = ("cpu", "cuda", "tpu")
PARAMETERS = "parameters"
"""Key of the digest of the parameters, in `training` of a bundle and in `network` of metrics.json."""

LICENCES = {
    "hc18": "Weights trained on HC18 (T. L. A. van den Heuvel et al., doi 10.5281/zenodo.1327317), CC BY 4.0.",
    "fetal_planes": "Weights trained on FETAL_PLANES_DB (X. P. Burgos-Artizzu et al., doi 10.5281/zenodo.3904280), "
    "CC BY 4.0, and on calipers of arXiv 2512.16710 where they were joined, CC BY-NC-SA 4.0.",
    "fetal_planes/outlines": "Weights trained on frames of FETAL_PLANES_DB (X. P. Burgos-Artizzu et al., "
    "doi 10.5281/zenodo.3904280) with outlines of this project, CC BY 4.0.",
    "fetal_phantom": "Weights trained on synthetic frames, Apache-2.0.",
    "folder": "Weights trained on the exporter's own frames; their owner decides on the use.",
    # the name that `make unified` gives them
    "folder/sononet": "Weights trained on the thirteen example frames of baumgach/SonoNet-weights, Apache-2.0.",
}


def load_run(workdir: Path, best: bool = False) -> tuple[Config, Any, int, dict[str, Any]]:
    """Read a run's newest checkpoint, or its best one, on any number of devices.

    The state is restored sharded over all devices; then the running mean of the parameters is gathered.

    Returns:
      (configuration, running mean of the parameters on one device, step, meta).

    Raises:
      UserError: no run there, or one without a checkpoint, or the best is asked for and none was validated.
    """
    if (workdir / bundle.INFO).exists():
        raise UserError(f"{workdir} is a bundle, not a run: evaluate takes it as --bundle, and it needs no export")
    config = configuration.from_json(workdir / "config.json")
    steps = checkpoints.saved_steps(workdir)
    if not steps:
        raise UserError(f"{workdir} has no checkpoint yet: run fetal-jax train first")
    network, tx = unet.from_config(config.model, len(config.planes)), optimiser(config)
    sharding = Sharding.create(1, -1)
    abstract = abstract_state(network, tx, config, sharding)
    with closing(checkpoints.manager(workdir)) as manager:
        step = steps[-1]
        state, meta = checkpoints.restore(manager, step, abstract)
        if best:
            progress = Progress()
            progress.restore(meta)
            validated = checkpoints.best_step(steps, progress.validation_scores)
            if validated is None:
                raise UserError(f"{workdir} has no checkpoint that was validated: leave out --best")
            step = validated
            state, meta = checkpoints.restore(manager, step, abstract)
    return config, sharding.local(state.ema), step, meta


def better_kept(workdir: Path) -> str:
    """Say that a kept checkpoint has a better validation score than the newest one; empty if none has."""
    steps, progress = checkpoints.saved_steps(workdir), Progress()
    progress.restore(checkpoints.newest_meta(workdir) or {})
    scores = progress.validation_scores
    best = checkpoints.best_step(steps, scores)
    if best is None or best == steps[-1] or steps[-1] not in scores:
        return ""
    return (
        f"{workdir}: step {best} has a better validation score ({scores[best]:.4f}, lower is better) than step "
        f"{steps[-1]} ({scores[steps[-1]]:.4f}), which is exported; for it give --best, to evaluate and to export"
    )


def load_runs(workdirs: Sequence[Path], best: bool = False) -> tuple[Config, Any, int, dict[str, Any]]:
    """Read several runs as `load_run` does, and average their parameters.

    The runs differ in their seed or in the fold that they left out. Fine-tuned from the same weights, their mean is as
    good as an ensemble of them and costs what one costs (M. Wortsman et al., Model soups, ICML 2022). The mean of runs
    that left out different folds has seen all of them.

    Raises:
      UserError: as `load_run`; or runs with another configuration, other data or another start.
    """
    (config, params, step, meta), *others = [load_run(workdir, best) for workdir in workdirs]
    if others and not (config.init.bundle or config.init.sononet):
        raise UserError(
            f"{workdirs[0]} started from random weights: only runs with init.bundle or init.sononet average"
        )
    for workdir, (another, more, its_step, its_meta) in zip(workdirs[1:], others, strict=True):
        if not drawn_alike(another, config):
            differ = "only seed and data.leave_out may differ"
            raise UserError(f"{workdir} has another configuration than {workdirs[0]}: {differ}")
        if trained_on(its_meta) != trained_on(meta) or its_meta.get("origin", "") != meta.get("origin", ""):
            raise UserError(f"{workdir} was trained on other data, or started from other weights, than {workdirs[0]}")
        params, step = jax.tree.map(jnp.add, params, more), max(step, its_step)
    meta = meta | {"before": before_mean_of(map(before, [meta, *(its_meta for *_, its_meta in others)]))}
    if any(another.data.leave_out != config.data.leave_out for another, *_ in others):
        config = replace(config, data=replace(config.data, leave_out=-1))
    return config, jax.tree.map(lambda p: p / len(workdirs), params), step, meta


def drawn_alike(one: Config, other: Config) -> bool:
    """Whether two runs differ in nothing but their seed and the fold that they left out.

    Two folds may start from the weights of their own fold (`configs/close_ups.py`), which left out the same frames.
    """
    folds = one.data.leave_out >= 0 and other.data.leave_out >= 0

    def rest(config: Config) -> Config:
        init = replace(config.init, bundle="") if folds else config.init
        return replace(config, seed=0, data=replace(config.data, leave_out=-1), init=init)

    return rest(one) == rest(other)


def write_bundle(workdirs: Sequence[Path], out: Path, metrics: Path | None = None, best: bool = False) -> None:
    """Export a checkpoint of a run into a bundle directory, as ONNX (which `measure` runs) and StableHLO.

    Args:
      workdirs: of `fetal-jax train`; several runs that differ in seed or fold are averaged.
      out: the bundle; made, or replaced if it is a bundle of the same runs that is not calibrated.
      metrics: `metrics.json` of `fetal-jax evaluate`, to be included in `bundle.json`.
      best: take the checkpoint with the lowest validation score, not the newest.

    Raises:
      UserError: no checkpoint, `out` holds something else, a calibrated bundle or one of another run, the metrics are
        none of an evaluation of these parameters or onnx is not installed.
    """
    measured = read_metrics(metrics) if metrics else {}
    graphs = onnx_graph()
    config, params, step, meta = load_runs(workdirs, best)
    params = half_precision(params)
    if metrics:
        _refuse_metrics_of_another(metrics, measured, step, digest(params), workdirs, best)
    info = replace(
        bundle_info(config),
        training={
            **{key: meta[key] for key in ("datasets", "dataset", "fingerprint", "before") if key in meta},
            "steps": step,
            PARAMETERS: digest(params),
            **({"averaged_runs": len(workdirs)} if len(workdirs) > 1 else {}),
            "recipe": configuration.portable(config),
            "fetal_jax": __version__,
        },
        licence=licence(config, meta.get("origin", "")),
        metrics=measured,
    )
    _refuse_to_lose(out, info)
    with bundle.replacing(out) as draft:
        (draft / bundle.STABLEHLO).write_bytes(stablehlo(config, params))
        graph = graphs.build(params, config.model, config.input_shape)
        (draft / bundle.ONNX).write_bytes(graph.SerializeToString())
        (draft / bundle.CARD).write_text(model_card(info))
        bundle.write(draft, info)


def _refuse_to_lose(out: Path, info: bundle.BundleInfo) -> None:
    """Refuse a bundle that the run cannot make again: a calibrated one, or that of another run.

    One that cannot be read is none: a killed export leaves it, and the next replaces it.
    """
    try:
        there = json.loads((out / bundle.INFO).read_text())
        training = dict(there["training"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    remedy = f"give another --out, or remove {out}"
    if there.get("intervals") or there.get("acceptance") or there.get("temperature", 1.0) != 1.0:
        raise UserError(f"{out} is a calibrated bundle, and export would lose what it has learnt: {remedy}")
    if _of_run(training) != _of_run(info.training):
        raise UserError(f"{out} is the bundle of another run: {remedy}")


def _of_run(training: dict[str, Any]) -> Any:
    """The part of `training` that is the same for all checkpoints of a run, as JSON gives it back."""
    kept = {key: value for key, value in training.items() if key not in ("steps", PARAMETERS, "fetal_jax")}
    return json.loads(json.dumps(kept))


def half_precision(params: Any) -> Any:
    """Convert kernels to float16, which halves the file; biases and scales, a hundredth of it, stay float32 (NumPy).

    A kernel is rounded by 2**-11 of itself. That moved the values of `default` by 0.002 mm on average on 1,067 frames
    of HC18, and by 0.012 mm on one in a hundred.

    Raises:
      UserError: a weight is over 65504, or not a number.
    """
    with np.errstate(over="ignore"):
        half = jax.tree.map(lambda p: np.asarray(p, np.float16 if p.ndim > 1 else np.float32), params)
    if not all(np.isfinite(p).all() for p in jax.tree.leaves(half)):
        raise UserError("a weight is too large for half precision, or not a number: the training has diverged")
    return half


def single_precision(params: Any) -> Any:
    """Convert parameters of `half_precision` to float32; in a traced function, as part of its graph."""
    return jax.tree.map(lambda p: jnp.asarray(p).astype(jnp.float32), params)


def licence(config: Config, origin: str) -> str:
    """Licence of the weights of a run: that of its data sets, and of the weights that it started from."""
    names = {name if name in LICENCES else name.split("/")[0] for name in configuration.mixture(config)}
    data = [LICENCES[name] for name in sorted(names)]
    for said in data:  # also of the weights that it started from
        origin = origin.replace(said, "")
    if not origin.strip():
        return " ".join(data)
    return re.sub(r"\s*(Started from:\s*)+", " Started from: ", " ".join([*data, "Started from:", origin])).strip()


def read_metrics(path: Path) -> dict[str, Any]:
    """Read `metrics.json` of an evaluation.

    Raises:
      UserError: it cannot be read, or holds something else.
    """
    try:
        metrics = json.loads(path.read_text())
    except (OSError, ValueError):
        raise UserError(f"{path} cannot be read: give metrics.json of fetal-jax evaluate") from None
    if not isinstance(metrics, dict) or "frames" not in metrics or not {*PRIMARY.values(), "plane"} & set(metrics):
        raise UserError(f"{path} holds no metrics of an evaluation: give metrics.json of fetal-jax evaluate")
    return metrics


def digest(params: Any) -> str:
    """SHA-256 of parameters of `half_precision`, which tells one network, and one checkpoint of a run, from others."""
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        found.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode())
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()


def _refuse_metrics_of_another(
    path: Path, metrics: dict[str, Any], step: int, ours: str, workdirs: Sequence[Path], best: bool
) -> None:
    """Refuse metrics that were not measured with the parameters that are exported."""
    network = metrics.get("network") or {}
    theirs = network.get(PARAMETERS)
    if theirs == ours:
        return
    flags = f"--workdir={workdirs[0]}{' --best' if best else ''}"
    if len(workdirs) > 1:
        flags = "--bundle=BUNDLE with the bundle that export writes without --metrics"
    if not theirs:
        raise UserError(
            f"{path}: these metrics do not say of which parameters, as an earlier version wrote them or they are of "
            f"--predictions: call fetal-jax evaluate {flags} again and give its metrics.json, or leave out --metrics"
        )
    of, runs = f"{network.get('name')}, step {network.get('steps')}", " and ".join(map(str, workdirs))
    raise UserError(
        f"{path}: these metrics are of {of}, and step {step} of {runs} is exported: give those of fetal-jax evaluate "
        f"{flags}, or leave out --metrics"
    )


def stablehlo(config: Config, params: Any) -> bytes:
    """The network as serialised StableHLO, for any batch size, on `PLATFORMS`; without paths of this machine.

    Float16 kernels are stored as float16; the arithmetic is float32.
    """
    network = unet.from_config(config.model, len(config.planes))
    (batch,) = jax.export.symbolic_shape("b")
    frames = jax.ShapeDtypeStruct((batch, *config.input_shape, 1), jnp.uint8)
    function = jax.jit(lambda x: network.apply({"params": single_precision(params)}, x))
    removed = "jax_hlo_source_file_canonicalization_regex"  # the part of source paths that is left out
    before = getattr(jax.config, removed)
    jax.config.update(removed, ".*")
    try:
        return bytes(jax.export.export(function, platforms=PLATFORMS)(frames).serialize())
    finally:
        jax.config.update(removed, before)


def looks(info: bundle.BundleInfo) -> str:
    """Describe in words how a prediction is made: the mirrored frame, the second look."""
    once = "averaged with those of the mirrored frame" if info.flip_average else "of the frame alone"
    if not info.close_up:
        return f"predictions are\n  {once}."
    return (
        f"predictions are\n  {once}. What is found is looked at again, enlarged to {100 * info.close_up:.0f} % of the "
        "input and mirrored; the\n  mean of both maps, with weights that depend on the plane, is measured."
    )


def came_from(info: bundle.BundleInfo) -> str:
    """Name the data sets that the weights had seen before the run; empty if there are none, or none is known."""
    names = {name: "" for earlier in recorded(info.training) for name in trained_on(earlier)}
    return f", from weights that were trained on {', '.join(names)}" if names else ""


def model_card(info: bundle.BundleInfo) -> str:
    """Text of `MODEL_CARD.md`: planes, input, training and licence."""
    training = info.training
    return f"""# Model card

Research software. **Not for clinical use.**

- Planes: {", ".join(info.planes)}; segments the structure of the plane.
- Input: one grey frame, letterboxed to {info.input_shape[0]}x{info.input_shape[1]} pixels; {looks(info)}
- Trained for {training["steps"]} steps on {training["fingerprint"]}{came_from(info)}.
- {info.licence}
- Width of a femur: {info.shaft_width}.
- Frames of other hospitals and machines than those of the training data may fail.
"""
