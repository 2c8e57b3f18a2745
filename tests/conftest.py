"""A strict session: rank and dtype promotion raise, eight host devices, warnings are errors (pyproject.toml)."""

from __future__ import annotations

import os
from pathlib import Path

# LLVM's optimisations take longer than the small programs of the tests run: a third of their time
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
from absl import flags
from hypothesis import HealthCheck, settings

from fetal_jax.reading import isolated
from tests.support.folders import draw_hc18
from tfds_builders.fetal_phantom.acoustics import Machine

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
flags.FLAGS.mark_as_parsed()
# hypothesis fails an example over 200 ms, or slow drawing: on a busy machine that says nothing of the program
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

ROOT = Path(__file__).parents[1]
SMALL = Machine(240, 320, clear=True)


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compiled programs of the tests stay out of the user's cache."""
    folder = os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)  # many tests train the same small network


@pytest.fixture(scope="session", autouse=True)
def patience() -> None:
    """Where others have the cores, the first file, with which packages are imported, takes longer than it may."""
    isolated.SECONDS = 120.0


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of the real frames; a skip names the variable that gives it."""
    path = Path(os.environ.get("FETAL_DATA_DIR", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("no real frames: set FETAL_DATA_DIR to the folder that holds hc18/")
    return path


@pytest.fixture
def hc18_folder(tmp_path: Path) -> Path:
    """A small synthetic HC18 folder, which a test may damage."""
    draw_hc18(tmp_path / "hc18", examinations=3, size=(135, 200))
    return tmp_path / "hc18"
