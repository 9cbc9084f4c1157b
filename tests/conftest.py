"""What every test stands on: float64, two devices, and ten relaxed packings made once."""

import os
import sys
from pathlib import Path

import jax
import pytest

# `from tests.finite_difference import ...` must work however pytest was started.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 2)
# Most of the time goes into compiling programs that run once; SIMSENS_TEST_OPTIMIZED=1 compiles
# them as a user's are.
jax.config.update("jax_disable_most_optimizations", "SIMSENS_TEST_OPTIMIZED" not in os.environ)
# jax_numpy_dtype_promotion stays "standard": simsens multiplies masks of bools with forces, which
# strict promotion refuses (see test_strict_dtype_promotion in response/test_relaxation.py).

FMAX = 1e-10


@pytest.fixture(scope="session")
def packings():
    """The default packing (128 disks, 0.98) relaxed from seeds 0..9, by seed."""
    from simsens import packing, relax

    return [relax(packing(seed=seed), fmax=FMAX) for seed in range(10)]


@pytest.fixture(scope="session")
def slopes(packings):
    """The sensitivities of ``packings`` with respect to every parameter, by seed."""
    from simsens import sensitivity

    return [sensitivity(equilibrium) for equilibrium in packings]
