"""The typed configuration of a training run: every key declared once, read from files and overrides, checked once."""

from fetal_jax.config.files import defaults, from_json, load, to_json
from fetal_jax.config.presets import OTHER_MACHINES, SONONET16
from fetal_jax.config.schema import (
    AugmentConfig,
    Config,
    DataConfig,
    InitConfig,
    LossConfig,
    MeshConfig,
    ModelConfig,
    OptimConfig,
)
from fetal_jax.config.values import check, data_set, differences, from_values, mixture, portable, renamed

__all__ = [
    "OTHER_MACHINES",
    "SONONET16",
    "AugmentConfig",
    "Config",
    "DataConfig",
    "InitConfig",
    "LossConfig",
    "MeshConfig",
    "ModelConfig",
    "OptimConfig",
    "check",
    "data_set",
    "defaults",
    "differences",
    "from_json",
    "from_values",
    "load",
    "mixture",
    "portable",
    "renamed",
    "to_json",
]
