"""What every test stands on: float64, two devices, and ten relaxed packings made once."""

import gc
import os
import sys
from contextlib import contextmanager
from pathlib import Path

# Two test processes on two cores: threads of OpenBLAS that wait for each other in a busy loop make
# a factorisation take ten times as long. Read when it is loaded, hence before anything else.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import pytest

# `from tests.finite_difference import ...` must work however pytest was started.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 2)
# Small programs that run once take longer to compile than to run: they are compiled plainly. The
# packings of 128 disks run long, and are compiled as a user's are (``optimised``).
# SIMSENS_TEST_OPTIMIZED=1 compiles everything so.
PLAIN = "SIMSENS_TEST_OPTIMIZED" not in os.environ
jax.config.update("jax_disable_most_optimizations", PLAIN)
# jax_numpy_dtype_promotion stays "standard" for the sake of jax-md, whose functions serve as
# references and mix precisions; test_strict_dtype_promotion relaxes a packing under "strict".

FMAX = 1e-10


# Every compiled program holds a few memory maps, of which the system grants a process 65,530; past
# that XLA crashes. A file of tests has no use for the programs of another.
MAPS = Path("/proc/self/maps")
MANY = 20_000


@pytest.fixture(scope="module", autouse=True)
def _forget_programs():
    yield
    if MAPS.exists() and MAPS.read_text().count("\n") > MANY:
        jax.clear_caches()
        gc.collect()


@contextmanager
def _optimised():
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", PLAIN)


@pytest.fixture(scope="module")
def optimised():
    """Compile the module's programs with all optimisations."""
    with _optimised():
        yield


@pytest.fixture(scope="session")
def packings():
    """The default packing (128 disks, 0.98) relaxed from seeds 0..9, by seed."""
    from simsens import packing, relax

    with _optimised():
        return [relax(packing(seed=seed), fmax=FMAX) for seed in range(10)]


@pytest.fixture(scope="session")
def slopes(packings):
    """The sensitivities of ``packings`` with respect to every parameter, by seed."""
    from simsens import sensitivity

    with _optimised():
        return [sensitivity(equilibrium) for equilibrium in packings]


@pytest.fixture(scope="session")
def loose_packing():
    """A packing of 64 disks at 0.86 with rattlers, and its sensitivity."""
    from simsens import packing, relax, sensitivity

    equilibrium = relax(packing(number=64, fraction=0.86, seed=3), fmax=FMAX)
    return equilibrium, sensitivity(equilibrium, wrt="diameter")
