"""Results made by hand, of four particles, and what is read off a figure of them."""

import numpy as np

from simsens import plots
from simsens.implicit.certificate import Certificate
from simsens.particles.potentials import SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response.equilibrium import Equilibrium
from simsens.response.modes import NormalModes
from simsens.response.perturbed import Perturbed
from simsens.response.sensitivity import Sensitivity

SIDE = 4.0
DISKS = SoftSphere(diameter={"A": 1.0, "B": 0.6})
# Two in the middle, one on the left edge, one in a corner and that outside the box.
PLACE = [[1.5, 1.5], [2.5, 1.5], [0.2, 2.0], [-0.1, 4.1]]
SADDLE = "the point is a saddle: 2 negative modes"


def at_rest(position=PLACE, potential=DISKS, box=SIDE, converged=True, **more):
    more = {"species": ["A", "B", "A", "B"][: len(position)], **more}
    system = System(Structure(position, box=box, **more), potential)
    history = np.array([[0, 2.0, 1.0], [20, 1.0, 1e-3], [40, 0.9, 1e-9], [41, 0.9, 0.0]])
    why = "max force <= fmax" if converged else "the budget of 41 steps was spent"
    return Equilibrium(
        system, 0.9, 1e-9, 41, converged, why, 1e-6, "fire", np.array(position), history
    )


def answer(
    equilibrium, trusted=True, rattlers=(), values=None, names=("diameter[B]", "epsilon"), **more
):
    structure, count = equilibrium.system.structure, len(names)
    if values is None:
        random = np.random.default_rng(0)
        values = random.standard_normal((structure.number, structure.dimension, count))
    values = np.array(values, float)
    values[list(rattlers)] = 0.0
    evidence = {
        "optimality_residual": 1e-9, "root_error": 1e-9, "linear_residual": np.full(count, 1e-14),
        "error_bound": np.full(count, 1e-9), "smallest_curvature": 0.1, "largest_curvature": 9.0,
        "zero_modes": 2, "expected_zero_modes": 2, "negative_modes": 0 if trusted else 2,
        "validity_radius": np.ones((count, 2)), "one_percent_step": np.ones(count),
        "method": "dense", "iterations": 0, "trusted": trusted,
        "reason": "the error is small" if trusted else SADDLE, "notes": ("one note",),
    }  # fmt: skip
    observables = {"energy": (0.9, np.arange(count) + 0.5), "pressure": (0.25, -np.ones(count))}
    certificate = Certificate(**evidence | more)
    theta, loose = np.full(count, 0.6), np.array(rattlers, int)
    return Sensitivity(names, theta, values, observables, loose, certificate)


def tried(name="diameter[B]", lost=(), **more):
    """Steps of a U: rounding below, second order above; those of ``lost`` found no minimum."""
    steps = np.geomspace(1e-8, 1e-1, 8)
    found = {
        "displacement": 2 * steps, "prediction_error": steps + 1e-12 / steps,
        "difference_error": steps**2 + 1e-12 / steps, "converged": np.ones(8, bool),
    }  # fmt: skip
    for key in found:
        found[key][list(lost)] = False if key == "converged" else np.nan
    return Perturbed(name, steps, **found | more)


def vibrations(curvature, zero=0, residual=1e-15, number=4):
    """Modes along single coordinates, in the order of the coordinates."""
    count = len(curvature)
    mode = np.eye(2 * number)[:, :count].reshape(number, 2, count)
    residual = np.full(count, residual)
    return NormalModes(np.array(curvature, float), mode, residual, zero, number, np.array([], int))


# What each kind is given, less where to draw; ``summary`` is a figure by itself.
GIVEN = {
    "convergence": lambda: (at_rest(),),
    "quiver": lambda: (at_rest(), answer(at_rest())),
    "spectrum": lambda: (vibrations([0, 0, 1, 2, 4], zero=2),),
    "modes": lambda: (at_rest(), vibrations([0, 0, 1, 2, 4], zero=2)),
    "matrix": lambda: (at_rest(), answer(at_rest())),
    "check": lambda: (tried(), answer(at_rest())),
    "prediction": lambda: (tried(), answer(at_rest())),
    "sweep": lambda: ([0.5, 0.6, 0.7], [1.0, 2.0, 2.5], [9.0, 8.0, 7.0], "sigma", "pressure"),
}


def drawn(kind, **more):
    return plots.FIGURES[kind](*GIVEN[kind](), **more)


def title(ax):
    return ax.get_title(loc="left").replace("\n", " ")


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def line(ax, label):
    """The one line whose label begins so."""
    (found,) = (one for one in ax.lines if str(one.get_label()).startswith(label))
    return found
