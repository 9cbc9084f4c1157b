r"""Gradient descent, jax-md's: :math:`x \leftarrow x + f / (1.1\, \lambda_{\max})`.

The step is the longest that is safe along the stiffest mode, whatever the units of the system.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from simsens.particles import jax_md_door
from simsens.response.optimizers import Setting, Steps


def steps(setting: Setting) -> Steps:
    """The steps of ``descent``; nothing is remembered between them."""
    # jax-md moves by its shift function and asks for the force where it stands, both of which are
    # ours: what is left is its rule for the step.
    minimize = jax_md_door.minimize()
    _, apply = minimize.gradient_descent(
        lambda position, at: at,
        lambda position, move, **unused: move,
        1 / (1.1 * setting.stiffness),
    )

    def step(inertia: Any, force: Any) -> Any:
        return inertia, apply(jnp.zeros_like(force), at=force)

    return step, step
