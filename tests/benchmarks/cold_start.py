"""How long a newcomer waits: the default job as a whole process, against starting JAX.

    python tests/benchmarks/cold_start.py [REPEATS]

Prints, as ratios of medians in one run: the very first `simsens relax --sensitivity` (compilation
included, empty cache) and the second (warm cache), to `import jax` with one array.
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

BASE = [sys.executable, "-c", "import jax; jax.numpy.zeros(1).block_until_ready()"]
JOB = [sys.executable, "-m", "simsens", "relax", "--sensitivity", "--overwrite", "-q"]


def seconds(command, folder, cache):
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True)
    return time.perf_counter() - began


def main():
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    times = {"start JAX": [], "first run": [], "second run": []}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):  # interleaved, so that a slow minute slows all three alike
            cache = Path(folder) / f"cache{repeat}"
            times["start JAX"].append(seconds(BASE, folder, cache))
            times["first run"].append(seconds(JOB, folder, cache))
            times["second run"].append(seconds(JOB, folder, cache))
    base = statistics.median(times["start JAX"])
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(f"Python {platform.python_version()}, jax {version('jax')}, {repeats} repeats")
    print(f"{'':12}{'median s':>10}{'min s':>10}{'max s':>10}{'ratio':>8}")
    for name, values in times.items():
        median = statistics.median(values)
        low, high = min(values), max(values)
        print(f"{name:12}{median:10.2f}{low:10.2f}{high:10.2f}{median / base:8.2f}")


if __name__ == "__main__":
    main()
