"""One network for heads, abdomens and femurs: HC18's heads and drawn frames, half and half.

fetal-jax prepare hc18/benchmark --manual-dir DIR
fetal-jax prepare fetal_phantom/large
fetal-jax train --config=configs/unified.py --workdir=runs/unified      50 minutes on two CPU cores
"""

from fetal_jax.recipe import defaults


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
    # another hospital's frames: other gains and depths, tighter crops, shadows, what others measured left in the frame
    config.augment.update(
        {
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
    )
    return config
