"""HC18's heads on two CPU cores: `make hc18 HC18=DIR`, from frames to table in about 31 minutes.

fetal-jax prepare hc18/benchmark --manual-dir DIR
fetal-jax train --config=configs/hc18.py --workdir=runs/hc18

Expected on the benchmark's 162 test heads: HC MAE 2.27 mm, Dice 0.978 (docs/results.md).
"""

from fetal_jax.config import defaults


def get_config():
    config = defaults()
    config.data.name = "hc18/benchmark"
    config.planes = ("head",)
    config.loss.cls_weight = 0.0  # every frame is a head: nothing to classify
    config.input_shape = (192, 288)
    config.batch_size = 8
    config.total_steps = 5400
    config.checkpoint_every = 300
    config.optim.lr = 2e-3
    config.optim.ema = 0.999
    return config
