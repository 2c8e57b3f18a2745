"""A training recipe: every key with its default, how a file and overrides change it, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from fetal_jax.errors import UserError
from fetal_jax.planes import PLANES

SHIPPED = Path(__file__).parent / "configs"  # where the wheel puts the repository's configs/
NOT_IDENTITY = (
    "checkpoint_every",
    "log_every",
    "eval_every",
    "keep_checkpoints",
    "max_bad_steps",
    "accumulate",
    "model.remat",
    "mesh",
    "data.dir",
    "data.workers",
    "init",
)
"""Keys that may change between a run and its continuation: they do not change what is learnt."""

OTHER_MACHINES = {
    "zoom": (0.7, 1.3),
    "gain": 0.4,
    "gamma": 0.5,
    "speckle": 0.1,
    "bands": 0.2,
    "shadow": 0.4,
    "border": 0.08,
    "calipers": True,
    "jpeg": 40.0,
}
"""`augment` for frames of hospitals that were not trained on: other gains and depths, tighter crops, shadows, what
others measured left in the frame."""

SONONET16 = {
    "width": 32,
    "multipliers": (1, 2, 4, 4),
    "depths": (4, 3, 3, 3),
    "stem": 2,
    "encoder_norm": False,
    "standardise": True,
    "head": 64,
    "looks": 10,
}
"""The part of `model` that a start from SonoNet16 (`init.sononet`) needs: its encoder behind a 2x2 stem."""


def defaults() -> ml_collections.ConfigDict:
    """Every key that a recipe has. The files in `configs/` set what differs."""
    return ml_collections.ConfigDict(
        {
            "seed": 0,
            "total_steps": 1000,
            "batch_size": 16,
            "accumulate": 1,  # parts that a batch is taken in, one after the other: the same gradient in less memory
            "checkpoint_every": 250,
            "keep_checkpoints": 2,  # the newest; the best by the validation stays as well
            "max_bad_steps": 10,  # in a row whose loss or gradient is no number; each is skipped
            "log_every": 10,
            "eval_every": 500,
            "eval_frames": 64,  # of the validation split, while training
            "input_shape": (192, 288),
            "planes": ("other", "abdomen", "head", "femur"),
            "flip_average": True,  # predictions are averaged with those of the mirrored frame
            # name: one, or a mixture by weight: "hc18/benchmark=3, fetal_phantom/large=1"
            # workers: processes; 0: threads of this one
            # unclassed: data sets that give no class term where they are mixed in. Where all real frames are heads,
            # a real look says "head"
            "data": {"dir": "runs/data", "name": "fetal_phantom", "workers": 0, "unclassed": ()},
            "augment": {
                "rotate_degrees": 20.0,
                "zoom": (0.8, 1.25),
                "shift": 0.08,  # of the canvas
                "flip": True,
                "gain": 0.25,  # relative
                "offset": 0.08,  # of full scale
                "gamma": 0.3,  # of its logarithm
                "noise": 0.04,  # of full scale, at most
                "blur": 0.8,  # pixels, at most
                # off unless a recipe asks; each then falls on half of the frames
                "speckle": 0.0,  # contrast of multiplicative noise, at most
                "bands": 0.0,  # relative gain of a depth, at most
                "shadow": 0.0,  # of the echoes of a sector, at most
                "border": 0.0,  # of the canvas made black on each side, at most
                "calipers": False,  # dotted ellipses and lines, anywhere
                "jpeg": 0.0,  # quality lost, at most
            },
            "model": {
                "width": 16,
                "multipliers": (1, 2, 4, 8, 8),
                "depths": (2, 2, 2, 2, 2),
                "decoder": (),  # multipliers on the way up; (): those on the way down
                "stem": 2,
                "groups": 8,
                "encoder_norm": True,
                "standardise": False,  # a frame by its own mean and deviation
                "mean": 64.0,
                "std": 64.0,
                "head": 0,  # channels before the pooling of the class head; 0: pooled as it is
                "looks": 1,  # kinds of frame that a plane is a mixture of
                "dtype": "float32",  # or bfloat16; float64 to compare meshes by
                "precision": "default",  # of its products: default, high or highest, as XLA names them
                "remat": False,  # compute each block again in the backward pass: less memory, a third more work
            },
            # binary: 1 where half a pixel is covered, as the paper's masks, instead of the share of it that is
            "loss": {"cls_weight": 0.3, "binary": False},
            "optim": {
                "lr": 2e-3,
                "warmup_steps": 100,
                "weight_decay": 1e-4,
                "clip": 1.0,
                "ema": 0.995,
                "encoder_lr": 1.0,  # of the way down and the class head, in units of lr
            },
            "mesh": {"data": -1, "fsdp": 1},  # -1: what the other axis leaves
            "init": {"bundle": "", "sononet": ""},  # start from a bundle's parameters, or from SonoNet16's file
        }
    )


def load(path: str, overrides: list[str]) -> ml_collections.ConfigDict:
    """The recipe of a file, with `--config.key=value` overrides.

    Raises:
      UserError: no such file or key, or a value that does not fit.
    """
    argv = ["fetal-jax", f"--config={_find(path)}", *overrides]
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
    try:
        values(argv)
    except (AttributeError, KeyError) as e:
        raise UserError(f"{path} has no such key: {_one_line(e)}") from None
    except (flags.Error, TypeError, ValueError) as e:
        raise UserError(f"{path}: {_one_line(e)}") from None
    except Exception as e:  # the file is Python: whatever it raises is about that file
        raise UserError(f"{path} is no recipe: {type(e).__name__}: {_one_line(e)}") from None
    config = values["config"].value
    check(config)
    return ml_collections.FrozenConfigDict(config)


def _one_line(error: Exception) -> str:
    return " ".join(
        str(error.args[0] if error.args else error).replace("\\n", " ").replace("\\'", "").replace("'", "").split()
    )


def _find(path: str) -> Path:
    for candidate in (Path(path), SHIPPED / Path(path).name):
        if candidate.is_file():
            return candidate
    shipped = sorted(p.name for p in SHIPPED.glob("*.py") if p.stem != "__init__")
    raise UserError(f"{path}: no such recipe" + (f"; these are shipped: {', '.join(shipped)}" if shipped else ""))


def check(config: Any) -> None:
    """Refuse what cannot be trained, before anything is started.

    Raises:
      UserError: naming the key, its value and what it must be.
    """
    model = config.model
    divisor = model.stem * 2 ** (len(model.multipliers) - 1)
    rules = [
        ("total_steps", config.total_steps > 0, "at least 1"),
        ("batch_size", config.batch_size > 0, "at least 1"),
        ("accumulate", config.accumulate > 0, "at least 1"),
        (
            "batch_size",
            config.batch_size % max(config.accumulate, 1) == 0,
            f"a multiple of accumulate, {config.accumulate}",
        ),
        ("max_bad_steps", config.max_bad_steps > 0, "at least 1"),
        ("keep_checkpoints", config.keep_checkpoints > 0, "at least 1"),
        ("checkpoint_every", config.checkpoint_every > 0, "at least 1"),
        ("log_every", config.log_every > 0, "at least 1"),
        ("eval_every", config.eval_every > 0, "at least 1"),
        ("input_shape", len(config.input_shape) == 2, "two numbers, height and width"),
        ("input_shape", all(n > 0 and n % divisor == 0 for n in config.input_shape), f"multiples of {divisor}"),
        ("data.workers", config.data.workers >= 0, "at least 0"),
        ("augment.bands", 0 <= config.augment.bands <= 1, "between 0 and 1"),
        ("augment.shadow", 0 <= config.augment.shadow <= 1, "between 0 and 1"),
        ("augment.border", 0 <= config.augment.border < 0.5, "at least 0 and below 0.5"),
        ("augment.jpeg", 0 <= config.augment.jpeg <= 100, "between 0 and 100"),
        ("planes", len(config.planes) > 0 and set(config.planes) <= set(PLANES), f"some of {', '.join(PLANES)}"),
        (
            "model.width",
            all(w > 0 and w % min(model.groups, w) == 0 for w in _widths(model)),
            "a multiple of the groups",
        ),
        ("model.depths", len(model.depths) == len(model.multipliers), "as many as model.multipliers"),
        (
            "model.decoder",
            len(model.decoder) in (0, len(model.multipliers) - 1),
            "empty, or one a level but one",
        ),
        ("model.head", model.head >= 0, "at least 0"),
        ("model.looks", model.looks > 0, "at least 1"),
        ("model.stem", model.stem in (1, 2), "1 or 2"),
        ("model.dtype", model.dtype in ("float32", "bfloat16", "float64"), "float32, bfloat16 or float64"),
        ("model.precision", model.precision in ("default", "high", "highest"), "default, high or highest"),
        ("loss.cls_weight", 0 <= config.loss.cls_weight <= 1, "between 0 and 1"),
        ("optim.lr", config.optim.lr > 0, "above 0"),
        ("optim.encoder_lr", config.optim.encoder_lr > 0, "above 0"),
        ("optim.ema", 0 <= config.optim.ema < 1, "in [0, 1)"),
    ]
    for key, holds, must in rules:
        if not holds:
            raise UserError(f"config.{key} is {_get(config, key)}; it must be {must}")
    mixture(config)


def mixture(config: Any) -> dict[str, float]:
    """The data sets that a recipe trains on, each with its share of the frames; the shares sum to 1.

    Raises:
      UserError: `data.name` is neither one data set nor several with weights, or names one twice.
    """
    text = config.data.name
    parts = [part.partition("=") for part in (text if "=" in text else f"{text}=1").split(",")]
    weights = {name.strip(): _positive(weight) for name, _, weight in parts}
    if not all(weights) or not all(weights.values()):
        raise UserError(f"config.data.name is {text}; it must be a data set, or several with weights: A=3, B=1")
    if len({data_set(name) for name in weights}) < len(parts):
        raise UserError(f"config.data.name is {text}; it must name each data set once, in one configuration")
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def data_set(name: str) -> str:
    """Whose frames a name stands for: its configurations are cuts of one set, but those of `folder` sets of their own.

    `hc18/benchmark` is of `hc18`, `folder/mine` is `folder/mine`.
    """
    base = name.partition("/")[0]
    return name if base == "folder" else base


def _positive(text: str) -> float:
    """A number above 0; 0 for anything else."""
    try:
        return float(text) if 0 < float(text) < math.inf else 0.0
    except ValueError:
        return 0.0


def _widths(model: Any) -> list[int]:
    return [int(model.width * m) for m in (*model.multipliers, *model.decoder)]


def _get(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config[part]
    return config


def to_json(config: Any) -> str:
    """The whole recipe as `config.json` holds it."""
    return json.dumps(config.to_dict(), indent=2) + "\n"


def portable(config: Any) -> dict[str, Any]:
    """A recipe without what belongs to one machine or one run: what a bundle tells of its training."""
    return {k: v for k, v in _flat(config.to_dict()).items() if not _is_local(k)}


def _is_local(key: str) -> bool:
    return any(key == name or key.startswith(name + ".") for name in NOT_IDENTITY)


def from_json(path: Path) -> ml_collections.FrozenConfigDict:
    """The recipe of a run's `config.json`.

    Raises:
      UserError: there is none, or it is damaged.
    """
    try:
        saved = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path.parent} is no run: it has no {path.name}") from None
    except ValueError:
        raise UserError(f"{path} is damaged: restore it, or train into another --workdir") from None
    config = defaults()
    try:
        config.update(saved)
    except (KeyError, TypeError, AttributeError) as e:
        raise UserError(f"{path} is of another version: {_one_line(e)}") from None
    return ml_collections.FrozenConfigDict(config)


def differences(one: Any, other: Any) -> list[str]:
    """The keys, with both values, by which two recipes would learn something else."""
    a, b = _flat(one.to_dict()), _flat(other.to_dict())
    keys = [k for k in sorted(a | b) if not _is_local(k) and _plain(a.get(k)) != _plain(b.get(k))]
    return [f"{k}: {a.get(k)} / {b.get(k)}" for k in keys]


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
