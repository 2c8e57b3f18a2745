"""The whole way on drawn frames, on two CPU cores: `make demo`, under 6 minutes.

Expected on held-out phantoms: HC MAE <= 2, AC <= 2.5, FL <= 2 mm, recall of each plane >= 95 %.
"""

from fetal_jax.recipe import defaults


def get_config():
    config = defaults()
    config.data.name = "fetal_phantom/small"
    config.input_shape = (160, 192)
    config.batch_size = 16
    config.total_steps = 560
    config.eval_every = 280
    config.checkpoint_every = 100
    config.optim.lr = 3e-3
    config.optim.ema = 0.98
    return config
