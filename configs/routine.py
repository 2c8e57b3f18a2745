"""The second part of the shipped network: trained on HC18's heads and on routine frames at 128x192 pixels.

make unified HC18=DIR PLANES=DIR EXAMPLES=DIR SONONET=SonoNet16.npz      this part: 65 minutes on two CPU cores

It starts from the bundle of `configs/unified.py` (`config.init.bundle`) and adds HC18's heads and the abdomens, femurs,
heads and thoraces of FETAL_PLANES_DB with outlines of our own (tfds_builders/fetal_planes/README.md). The Makefile
trains it five times, each time without one fold (`config.data.leave_out`), and averages the weights. Small heads are
shown four times as often as others and femurs twice: networks lose these first. Longer runs get worse on HC18
(docs/experiments.md).
"""

from fetal_jax.config import OTHER_MACHINES, SONONET16, defaults


def get_config():
    config = defaults()
    config.data.name = {
        "hc18/benchmark": 7,
        "fetal_planes/outlines": 8,
        "fetal_phantom/large": 4,
        "folder/sononet": 0.5,
    }
    config.data.early_heads = 4
    config.data.femurs = 2
    config.loss.cls_weight = 0.2
    config.input_shape = (128, 192)
    config.batch_size = 8
    config.total_steps = 2400
    config.eval_frames = 62
    config.checkpoint_every = 200
    config.optim.lr = 1.5e-3
    config.optim.encoder_lr = 0.35
    config.optim.ema = 0.998
    config.model.update(SONONET16 | {"decoder": (0.5, 1, 2)})
    config.augment.update(OTHER_MACHINES | {"zoom": (0.6, 1.4), "rotate_degrees": 30.0})
    return config
