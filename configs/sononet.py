"""One network for heads, abdomens and femurs, from SonoNet's weights, on the frames of `configs/unified.py`.

fetal-jax prepare hc18/benchmark --manual-dir DIR
fetal-jax prepare fetal_phantom/large
fetal-jax prepare folder/sononet --allow-partial --manual-dir DIR
fetal-jax train --config=configs/unified.py --config.init.sononet=SonoNet16.npz --workdir=runs/unified

Not trained to its end here: 2.5 times the work of `unified` a frame, 90 minutes on two quiet CPU cores.
"""

from fetal_jax.recipe import OTHER_MACHINES, defaults


def get_config():
    config = defaults()
    config.data.name = "hc18/benchmark=10, fetal_phantom/large=10, folder/sononet=2"
    config.data.unclassed = ("hc18",)  # else a real look says head: every thorax of another hospital was called one
    config.loss.cls_weight = 0.2
    config.input_shape = (192, 288)
    config.batch_size = 8
    config.total_steps = 5000
    config.eval_every = 2500
    config.checkpoint_every = 300
    config.optim.lr = 2e-3
    config.optim.encoder_lr = 0.25  # SonoNet has seen more than we can show it
    config.optim.ema = 0.999
    # SonoNet16 behind a 2x2 stem
    config.model.update(
        {
            "width": 32,
            "multipliers": (1, 2, 4, 4),
            "depths": (4, 3, 3, 3),
            "decoder": (0.5, 1, 2),
            "encoder_norm": False,
            "standardise": True,
            "head": 64,
            "looks": 10,
        }
    )
    config.augment.update(OTHER_MACHINES)
    return config
