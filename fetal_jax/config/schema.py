"""Every configuration key: name, type, default, meaning, unit and range. This is the only list."""

from __future__ import annotations

import os
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from fetal_jax.config.keys import Key, Rule, above, at_least, below, between, each, key, one_of
from fetal_jax.planes import PLANES

_SIDES = Rule("each at least 1", lambda v: min(v) >= 1)
_ZOOM = Rule("above 0, the smaller one first", lambda v: 0 < v[0] <= v[1])
_PLANES = Rule(
    f"some of {', '.join(PLANES)}, each once", lambda v: v and len(set(v)) == len(v) and set(v) <= set(PLANES)
)
_AXIS = Rule("at least 1, or -1", lambda v: v == -1 or v >= 1)
# float64 is for tests that compare meshes: it needs the 64-bit mode of JAX
_DTYPE = Rule(
    "float32 or bfloat16", lambda v: v in ("float32", "bfloat16") or (v == "float64" and "JAX_ENABLE_X64" in os.environ)
)


@dataclass(frozen=True)
class DataConfig:
    """The data sets to train on."""

    dir: str = key("runs/data", "folder or bucket of the prepared data sets", may_change=True)
    name: Mapping[str, float] = key(
        {"fetal_phantom": 1.0}, "data sets and the weight of each in the mixture; as text: A, or A=3, B=1"
    )
    workers: int = key(
        0, "worker processes that make batches; 0: threads of this process", at_least(0), may_change=True
    )
    early_heads: int = key(1, "times per epoch that a head with an HC under 110 mm is shown", at_least(1))
    femurs: int = key(1, "times per epoch that a femur is shown", at_least(1))
    leave_out: int = key(
        -1, "fold to leave out of training, for cross-validation: every fifth subject; -1: none", between(-1, 4)
    )
    no_class_loss: tuple[str, ...] = key(
        (),
        "data sets of data.name without a classification loss: if all real frames are heads, real texture means head",
    )


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of a training frame. From `speckle` on they are off by default, and fall on half of the frames."""

    rotate_degrees: float = key(20.0, "largest rotation in either direction", between(0, 180), "degrees")
    zoom: tuple[float, float] = key((0.8, 1.25), "smallest and largest scale", _ZOOM)
    close_ups: float = key(0.0, "share of the frames with a structure that are shown as close-ups of it", between(0, 1))
    shift: float = key(0.08, "largest shift along each axis", between(0, 1), "of the canvas")
    flip: bool = key(True, "mirror half of the frames left to right")
    gain: float = key(0.25, "largest relative change of the gain", between(0, 1))
    offset: float = key(0.08, "largest change of brightness", between(0, 1), "of full scale")
    gamma: float = key(0.3, "largest change of the logarithm of gamma", at_least(0))
    noise: float = key(0.04, "largest standard deviation of additive noise", between(0, 1), "of full scale")
    blur: float = key(0.8, "range of the standard deviation of the blur, from 0.2 up", at_least(0), "pixels")
    speckle: float = key(0.0, "largest contrast of multiplicative noise", at_least(0))
    bands: float = key(0.0, "largest relative change of the gain at a depth", between(0, 1))
    shadow: float = key(0.0, "largest share of the signal that is lost in a shadowed sector", between(0, 1))
    border: float = key(0.0, "largest black margin on each side", below(0, 0.5), "of the canvas")
    calipers: bool = key(False, "draw dotted ellipses and lines at random places")
    jpeg: float = key(0.0, "largest reduction of the JPEG quality", between(0, 100), "of 100")


@dataclass(frozen=True)
class ModelConfig:
    """The U-Net and its classification head."""

    width: int = key(16, "channels of the first level", at_least(1))
    multipliers: tuple[int, ...] = key(
        (1, 2, 4, 8, 8), "channels of each level on the way down", each(at_least(1)), "width"
    )
    depths: tuple[int, ...] = key((2, 2, 2, 2, 2), "3x3 convolutions of each level on the way down", each(at_least(1)))
    decoder: tuple[float, ...] = key(
        (), "channels of each level on the way up, except the lowest; (): as on the way down", each(above(0)), "width"
    )
    stem: int = key(2, "2: the first level works at half resolution; 1: at full resolution", one_of(1, 2))
    groups: int = key(8, "groups of the group norm", at_least(1))
    encoder_norm: bool = key(True, "normalise on the way down as well as on the way up")
    standardise: bool = key(
        False, "normalise a frame by its own mean and standard deviation, not by model.mean and model.std"
    )
    mean: float = key(64.0, "subtracted from the grey values", unit="grey levels")
    std: float = key(64.0, "divides the grey values", above(0), "grey levels")
    classifier_width: int = key(
        0, "channels of a 1x1 convolution before the classification head's pooling; 0: none", at_least(0)
    )
    subclasses: int = key(1, "number of subclasses of each plane, each with its own logit", at_least(1))
    dtype: str = key("float32", "type of the computation; parameters stay float32", _DTYPE)
    precision: str = key(
        "default", "precision of matrix products, as XLA names it", one_of("default", "high", "highest")
    )
    remat: bool = key(
        False, "recompute each block in the backward pass: less memory, a third more work", may_change=True
    )


@dataclass(frozen=True)
class LossConfig:
    """The joint loss λ·L_cls + (1-λ)·L_seg."""

    cls_weight: float = key(0.3, "λ (lambda) of λ·L_cls + (1-λ)·L_seg", between(0, 1))
    binary: bool = key(False, "train on binary masks, as in the paper, instead of the coverage of each pixel")


@dataclass(frozen=True)
class OptimConfig:
    """AdamW with a linear warm-up and a cosine decay to zero."""

    lr: float = key(2e-3, "peak learning rate", above(0))
    warmup_steps: int = key(100, "steps of linear warm-up, at most half of the run", at_least(0), "steps")
    weight_decay: float = key(1e-4, "weight decay of the kernels; biases and norms do not decay", at_least(0))
    clip: float = key(1.0, "largest global norm of the gradient", above(0))
    ema: float = key(0.995, "decay of the running mean of the parameters, which is evaluated and exported", below(0, 1))
    encoder_lr: float = key(1.0, "learning rate of the encoder and the classification head", above(0), "optim.lr")


@dataclass(frozen=True)
class MeshConfig:
    """The layout of the devices. At most one axis may be -1: all devices that the other one leaves."""

    data: int = key(-1, "devices along the data axis; -1: all that are left", _AXIS, may_change=True)
    fsdp: int = key(
        1, "devices that share parameters and optimiser state; -1: all that are left", _AXIS, may_change=True
    )


@dataclass(frozen=True)
class InitConfig:
    """The parameters at the first step; random by default."""

    bundle: str = key("", "fine-tune this bundle: its folder (or gs://), or the name of a shipped one", may_change=True)
    sononet: str = key("", "start from SonoNet16: the path of SonoNet16.npz (or gs://)", may_change=True)


@dataclass(frozen=True)
class Config:
    """A training configuration: length, batches, checkpoints and input of the run; and the groups of keys."""

    seed: int = key(
        0, "seed of the parameters, of the order of the frames and of the augmentation", between(0, 2**31 - 1)
    )
    total_steps: int = key(1000, "length of the run", at_least(1), "steps")
    batch_size: int = key(16, "frames of one step, over all devices", at_least(1), "frames")
    accumulate: int = key(
        1,
        "parts of a batch that are computed one after the other: the same gradient in less memory",
        at_least(1),
        may_change=True,
    )
    checkpoint_every: int = key(250, "steps between checkpoints", at_least(1), "steps", may_change=True)
    keep_checkpoints: int = key(
        2, "number of newest checkpoints to keep; the best one is kept too", at_least(1), may_change=True
    )
    max_bad_steps: int = key(
        10, "stop after this many steps in a row with a loss or gradient that is not finite", at_least(1), "steps", True
    )
    log_every: int = key(10, "steps between rows of metrics.jsonl", at_least(1), "steps", may_change=True)
    eval_every: int = key(0, "steps between validations; 0: a tenth of the run", at_least(0), "steps", may_change=True)
    eval_frames: int = key(64, "largest number of frames of each validation split", at_least(1), "frames")
    input_shape: tuple[int, int] = key((192, 288), "height and width of the network's input", _SIDES, "pixels")
    planes: tuple[str, ...] = key(("other", "abdomen", "head", "femur"), "classes of the classification head", _PLANES)
    flip_average: bool = key(True, "average each prediction with that of the mirrored frame")
    close_up: float = key(
        0.0,
        "look a second time, at the structure that was found, enlarged to this share of the input; 0: look once",
        between(0, 1),
    )
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    init: InitConfig = field(default_factory=InitConfig)


def _keys(default: Any, prefix: str = "") -> Iterator[Key]:
    hints = typing.get_type_hints(type(default))
    for f in fields(default):
        value = getattr(default, f.name)
        if is_dataclass(value):
            yield from _keys(value, f"{prefix}{f.name}.")
        else:
            yield Key(f"{prefix}{f.name}", hints[f.name], value, **f.metadata)


KEYS = {k.name: k for k in _keys(Config())}
"""Every key by its dotted name, such as `model.width`."""
GROUPS = {f.name: type(getattr(Config(), f.name)) for f in fields(Config) if not f.metadata}
"""The groups of keys: `data`, `augment`, …"""
RENAMED = {
    "data.unclassed": "data.no_class_loss",
    "model.head": "model.classifier_width",
    "model.looks": "model.subclasses",
}
"""Former names, still read from files, overrides, `config.json` and bundles."""
