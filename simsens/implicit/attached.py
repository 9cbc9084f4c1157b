r"""A known value with the derivative of a root: the JAX primitive that everything rests on.

The primitive is the identity on the root x. Its forward rule is the implicit function theorem,

.. math:: \dot x = -A^{-1}\, \partial_\theta F\, \dot\theta ,

with F and the solve (one ``lax.custom_linear_solve``) held as programs, and the values they close
over as operands, so that closures over traced values are differentiated too. All else follows:
reverse mode by transposing the linear solve, higher orders by differentiating the rule, batches by
batching it.

``lax.custom_root`` does the same with ``jax.custom_jvp``. It is not used, because a rule that hangs
on a function is dropped where ``lax.scan`` looks for loop invariants: the derivative of a gradient
through ``scan``, ``map`` or ``fori_loop`` then comes out as zero, without a word (jax 0.10;
optimistix issue 151). A primitive keeps its rule. It also tells which operands have no tangent, and
spares their products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir

root_p = Primitive("implicit_root")


def attach_root(residual: Callable[[Any], Any], solve: Callable[[Any, Any], Any], x: Any) -> Any:
    r"""``x``, with the derivative of the root of ``residual`` that it is.

    Args:
        residual: ``x -> F``, arrays of one shape; may close over traced values, which get
            derivatives.
        solve: ``(x, b) -> A^{-1} b``, differentiable in what F closes over.
        x: the root, an array.

    Example:
        >>> def root(theta):
        ...     x = jnp.array([2.0])
        ...     return attach_root(lambda x: x**2 - theta, lambda x, b: b / (2 * x), x)
        >>> float(jax.jacfwd(root)(4.0)[0]), float(jax.hessian(root)(4.0)[0])
        (0.25, -0.03125)
    """
    residual_program = jax.make_jaxpr(residual)(x)
    solve_program = jax.make_jaxpr(solve)(x, x)
    consts = (residual_program.consts, solve_program.consts)
    operands = [*map(jnp.asarray, consts[0]), *map(jnp.asarray, consts[1]), x]
    return root_p.bind(
        *operands,
        residual=residual_program.jaxpr,
        solve=solve_program.jaxpr,
        split=len(consts[0]),
        batches=(),
    )


@root_p.def_impl
def _value(*operands: Any, **_: Any) -> Any:
    return operands[-1]


@root_p.def_abstract_eval
def _shape(*operands: Any, **_: Any) -> Any:
    return operands[-1]


mlir.register_lowering(root_p, lambda ctx, *operands, **_: [operands[-1]])


def _jvp(
    primals: Any, tangents: Any, *, residual: Any, solve: Any, split: int, batches: Any
) -> tuple[Any, Any]:
    x = root_p.bind(*primals, residual=residual, solve=solve, split=split, batches=batches)
    moving = [k for k in range(split) if not isinstance(tangents[k], ad.Zero)]
    if not moving:
        return x, ad.Zero.from_primal_value(x)  # type: ignore[attr-defined]

    def tangent(operands: Any, x: Any, dots: Any) -> Any:
        def residual_along(*values: Any) -> Any:
            filled = list(operands[:split])
            for k, value in zip(moving, values):
                filled[k] = value
            return _call(residual, filled, x)

        values = tuple(operands[k] for k in moving)
        change = jax.jvp(residual_along, values, tuple(dots))[1]
        # Nothing, forward. Backward it takes a NaN, by which a solve says that it failed, past
        # every ``where`` in F that would turn it into a zero.
        change += sum(_nothing(dot) for dot in dots).astype(change.dtype)
        return _call(solve, operands[split:], x, -change)

    for axes, name, size in batches:
        in_axes = (list(axes), 0, [axes[k] for k in moving])
        tangent = jax.vmap(tangent, in_axes=in_axes, axis_name=name, axis_size=size)
    return x, tangent(list(primals[:-1]), x, [tangents[k] for k in moving])


ad.primitive_jvps[root_p] = _jvp


def _nothing(dot: Any) -> Any:
    return 0 * jnp.sum(dot).real


def _call(program: Any, consts: Any, *args: Any) -> Any:
    (value,) = jaxpr_as_fun(ClosedJaxpr(program, list(consts)))(*args)
    return value


def _batch(axis_data: Any, operands: Any, axes: Any, **params: Any) -> tuple[Any, Any]:
    if all(axis is None for axis in axes):
        return root_p.bind(*operands, **params), None
    moved = [
        operand if axis is None else jnp.moveaxis(operand, axis, 0)
        for operand, axis in zip(operands, axes)
    ]
    if axes[-1] is None:
        moved[-1] = jnp.broadcast_to(moved[-1], (axis_data.size, *moved[-1].shape))
    here = tuple(None if axis is None else 0 for axis in axes[:-1])
    batches = (*params.pop("batches"), (here, axis_data.name, axis_data.size))
    return root_p.bind(*moved, batches=batches, **params), 0


batching.fancy_primitive_batchers[root_p] = _batch
