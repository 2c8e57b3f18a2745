"""One network for heads, abdomens and femurs: HC18's heads, drawn frames, the example frames of SonoNet's authors.

make unified HC18=DIR EXAMPLES=DIR      70 minutes on two quiet CPU cores, `configs/phantom.py` before it included

It starts from a network that has seen phantoms alone (`config.init.bundle`). EXAMPLES are the thirteen example frames
of the repository baumgach/SonoNet-weights (Apache-2.0), with configs/sononet_examples.csv as their table: the only
real frames that are no heads.
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
