"""One network for heads, abdomens and femurs: HC18's heads and drawn frames, half and half.

fetal-jax prepare hc18/benchmark --manual-dir DIR
fetal-jax prepare fetal_phantom/large
fetal-jax train --config=configs/unified.py --workdir=runs/unified      50 minutes on two CPU cores
"""

from fetal_jax.recipe import OTHER_MACHINES, defaults


def get_config():
    config = defaults()
    config.data.name = "hc18/benchmark=10, fetal_phantom/large=10, folder/sononet=1"
    config.data.unclassed = ("hc18",)  # else a real look says head: every thorax of another hospital was called one
    config.loss.cls_weight = 0.2
    config.input_shape = (192, 288)
    config.batch_size = 8
    config.total_steps = 5000
    config.eval_every = 2500
    config.checkpoint_every = 300
    config.optim.ema = 0.999
    config.augment.update(OTHER_MACHINES)
    return config
