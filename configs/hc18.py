"""HC18's heads on two CPU cores, from frames to table within 45 minutes.

fetal-jax prepare hc18/benchmark --manual-dir DIR
fetal-jax train --config=configs/hc18.py --workdir=runs/hc18
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
