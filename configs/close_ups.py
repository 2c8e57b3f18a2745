"""The third part of the shipped network: the networks of `configs/routine.py`, trained for a second look at close-ups.

make unified HC18=DIR PLANES=DIR EXAMPLES=DIR SONONET=SonoNet16.npz      this part: 27 minutes on two CPU cores

It starts from the bundle of a fold of `configs/routine.py` (`config.init.bundle`) and uses the same frames. Half of
those with a structure are shown as close-ups. To measure, the network runs first on the whole frame, then on the
structure it found, enlarged and mirrored (`config.close_up`): as much work as averaging with the mirrored frame.
"""

import runpy
from pathlib import Path


def get_config():
    config = runpy.run_path(str(Path(__file__).with_name("routine.py")))["get_config"]()
    config.close_up = 0.5
    config.flip_average = False
    config.total_steps = 1000
    config.optim.lr = 8e-4
    config.augment.close_ups = 0.5
    return config
