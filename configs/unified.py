"""The first part of the shipped network: SonoNet16's weights, trained on synthetic frames of all planes.

make unified HC18=DIR PLANES=DIR EXAMPLES=DIR SONONET=SonoNet16.npz      this part: 13 minutes on two CPU cores

SonoNet16 is a classifier of real planes (`config.init.sononet`); EXAMPLES are the thirteen example frames of its
repository, baumgach/SonoNet-weights (Apache-2.0), with configs/sononet_examples.csv as their table. All five folds of
`configs/routine.py` start from this part, so that their weights can be averaged. It sees no head of HC18 and no frame
of FETAL_PLANES_DB, so that each fold is tested on frames that no part has seen.
"""

from fetal_jax.config import OTHER_MACHINES, SONONET16, defaults


def get_config():
    config = defaults()
    config.data.name = {"fetal_phantom/large": 8, "folder/sononet": 1}
    config.data.femurs = 2
    config.loss.cls_weight = 0.2
    config.input_shape = (128, 192)
    config.batch_size = 8
    config.total_steps = 1500
    config.checkpoint_every = 300
    config.eval_frames = 100
    config.optim.lr = 2e-3
    config.optim.encoder_lr = 0.25  # SonoNet has seen more than we can show it
    config.optim.ema = 0.995
    config.model.update(SONONET16 | {"decoder": (0.5, 1, 2)})
    config.augment.update(OTHER_MACHINES | {"zoom": (0.6, 1.4), "rotate_degrees": 30.0})
    return config
