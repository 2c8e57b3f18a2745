"""One network for heads, abdomens and femurs: HC18's heads, synthetic frames, and SonoNet's examples.

make unified HC18=DIR EXAMPLES=DIR SONONET=SonoNet16.npz      two hours on two quiet CPU cores

It starts from SonoNet16, a classifier of real planes (`config.init.sononet`). After 1,000 steps the error on HC18's
validation heads is 2.18 mm; a random start on such a mixture had 2.21 mm after 9,000. The checkpoint that validates
best is exported: ours was step 4,000, and later ones got worse on HC18 (docs/experiments.md). EXAMPLES are the thirteen
example frames of the repository baumgach/SonoNet-weights (Apache-2.0), with configs/sononet_examples.csv as their
table. They are the only real frames that do not show a head.
"""

from fetal_jax.config import OTHER_MACHINES, SONONET16, defaults


def get_config():
    config = defaults()
    config.data.name = {"hc18/benchmark": 12, "fetal_phantom/large": 8, "folder/sononet": 2}
    config.data.no_class_loss = ("hc18",)  # else real texture means head: every thorax of another hospital became one
    config.loss.cls_weight = 0.2
    config.input_shape = (192, 288)
    config.batch_size = 8
    config.total_steps = 8000
    config.checkpoint_every = 300
    config.optim.lr = 2e-3
    config.optim.encoder_lr = 0.25  # SonoNet has seen more than we can show it
    config.optim.ema = 0.999
    config.model.update(SONONET16 | {"decoder": (0.5, 1, 2)})
    config.augment.update(OTHER_MACHINES)
    return config
