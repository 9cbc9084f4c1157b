r"""What every proximity operator does with its arguments before the formula: convert, check, mark.

A wrong argument must not become a plausible number. Where its value is known it is refused with a
``ValueError``; where it is traced (``jit``, ``grad``, ``vmap``) nobody can raise, and the result is
multiplied by NaN, so that value and derivatives of that member of a batch are NaN and those of the
others are not.

Precisions: every argument takes the precision of the part of ``x`` it belongs to, so float32 stays
float32 and nothing relies on implicit promotion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.projection.feasibility import demand, known, poisoned

Leaves = list[jax.Array]
Condition = Callable[..., Any]


class Arguments:
    """The arguments of one call of ``function``, and what tracing left unchecked.

    Example:
        >>> given = Arguments("prox_example")
        >>> x = given.unknown(jnp.array([3.0, -2.0]))
        >>> weight = given.weight("l1reg", 0.5)
        >>> print(given.apply(lambda u, w: w * u, x, weight))
        [ 1.5 -1. ]
    """

    def __init__(self, function: str) -> None:
        self.function = function
        self.leaves: Leaves = []
        self.treedef: Any = None
        self._pending: list[Any] = []
        self._known: dict[int, tuple[Any, np.ndarray]] = {}  # by id; holds what it names

    def unknown(self, x: Any, complex_too: bool = False) -> Leaves:
        """The leaves of ``x`` as floating-point arrays.

        Raises:
            ValueError: a leaf is not of floating-point type, or not finite.
        """
        leaves, self.treedef = jax.tree.flatten(x)
        self.leaves = [self._floating(leaf, complex_too) for leaf in leaves]
        for leaf in self.leaves:
            self.require(leaf, _finite, "finite numbers in x", "look at what produced it")
        return self.leaves

    def single(self, x: Any, ndim: int | None, shape: str, complex_too: bool = False) -> jax.Array:
        """``x`` as one floating-point array of ``ndim`` dimensions (any if None).

        Raises:
            ValueError: a tree, a wrong number of dimensions, an empty array; see ``unknown``.
        """
        if not _is_leaf(x):
            raise self.error(f"x as one array {shape}", "a tree", "map over its leaves")
        (array,) = self.unknown(x, complex_too)
        if array.size == 0 or (ndim is not None and array.ndim != ndim):
            found = f"shape {array.shape}"
            raise self.error(f"x as an array {shape}", found, "reshape it, or use jax.vmap")
        return array

    def weight(self, name: str, value: Any, positive: bool = False) -> Leaves:
        """A number, an array that fits every leaf of ``x``, or a tree like ``x``: one array a leaf.

        Raises:
            ValueError: other structure or shape, complex, not finite, negative (or zero where
                ``positive``).
        """
        if _is_leaf(value):
            values = [value] * len(self.leaves)
        else:
            values, treedef = jax.tree.flatten(value)
            if treedef != self.treedef:
                needed = f"{name} as a number, an array or a tree like x, {self.treedef}"
                raise self.error(needed, str(treedef), "give one weight for each leaf")
        arrays = []
        for leaf, own in zip(self.leaves, values):
            array = self._real(name, own, leaf)
            if not _fits(array.shape, leaf.shape):
                needed = f"{name} that broadcasts to the shape {leaf.shape} of x"
                raise self.error(needed, f"shape {array.shape}", "give one weight a coordinate")
            self._signed(name, array, positive)
            arrays.append(array)
        return arrays

    def number(self, name: str, value: Any, like: jax.Array, positive: bool = False) -> jax.Array:
        """One number in the precision of ``like``; see ``weight``."""
        return self.vector(name, value, like, (), positive)

    def vector(
        self,
        name: str,
        value: Any,
        like: jax.Array,
        shape: tuple[int, ...],
        positive: bool = False,
    ) -> jax.Array:
        """An array of one shape in the precision of ``like``; see ``weight``."""
        if not _is_leaf(value):
            raise self.error(f"{name} of shape {shape}", "a tree", "give one array")
        array = self._real(name, value, like)
        if array.shape != shape:
            needed = f"{name} of shape {shape}"
            raise self.error(needed, f"shape {array.shape}", "give one array of that shape")
        self._signed(name, array, positive)
        return array

    def pair(self, hyperparams: Any, names: str, default: tuple[Any, Any]) -> tuple[Any, Any]:
        """Two hyperparameters from a tuple, a list or an array of two.

        Raises:
            ValueError: not two.
        """
        if hyperparams is None:
            return default
        try:
            first, second = hyperparams
        except (TypeError, ValueError):
            needed = f"hyperparams = {names}"
            found = f"a {type(hyperparams).__name__} of another length"
            raise self.error(needed, found, "give a tuple of two") from None
        return first, second

    def require(self, value: Any, holds: Condition, needed: str, advice: str) -> None:
        """Refuse a known ``value`` somewhere in which ``holds`` fails; remember a traced one."""
        self._demand(holds, f"{needed}; found {{}}; {advice}", self._value(value))

    def exceeds(
        self, value: Any, bound: Any, needed: str, advice: str, offset: float = 0.0
    ) -> None:
        """Require ``value - offset > bound``, elementwise, where the bound is the scaling."""
        message = f"{needed}; found {{}} with scaling {{}}; {advice}"
        values = self._value(value), self._value(bound)
        self._demand(lambda v, b: v - offset > b, message, *values)

    def ordered(self, name: str, value: Any) -> None:
        """Require an array ``[n]`` that does not increase."""
        value = self._value(value)
        message = f"{name} that do not increase; found {{}} before {{}}; sort them, largest first"
        self._demand(lambda a, b: a >= b, message, value[:-1], value[1:])

    def apply(self, function: Callable[..., jax.Array], *arguments: Leaves) -> Any:
        """A tree like x of ``function(leaf of x, leaf of the next argument, ...)``, marked."""
        return self.result([function(*each) for each in zip(*map(self.marked, arguments))])

    def marked(self, arrays: Leaves) -> Leaves:
        """The arrays, NaN (and so every derivative) if a traced argument is infeasible.

        To be called when all arguments have been checked, on what enters the formula as well as on
        what leaves it: a formula may choose a branch that does not see its argument.
        """
        return [poisoned(array, *self._pending) for array in arrays]

    def result(self, leaves: Leaves) -> Any:
        """The leaves, marked, as a tree like x."""
        return jax.tree.unflatten(self.treedef, self.marked(leaves))

    def error(self, needed: str, found: str, advice: str) -> ValueError:
        """What was needed, what was found, what to do, in one line."""
        return ValueError(f"{self.function} needs {needed}; found {found}; {advice}")

    def _demand(self, holds: Condition, message: str, *values: Any) -> None:
        verdict = demand(holds, f"{self.function} needs {message}", *values)
        if verdict is not True:
            self._pending.append(jnp.all(verdict))

    def _floating(self, leaf: Any, complex_too: bool) -> jax.Array:
        kind = jnp.inexact if complex_too else jnp.floating
        array = self._array("x", leaf)
        if not jnp.issubdtype(array.dtype, kind):
            needed = f"x of a {'real or complex' if complex_too else 'real'} floating type"
            raise self.error(needed, str(array.dtype), "convert it, e.g. x.astype(float)")
        return self._remember(array, leaf)

    def _real(self, name: str, value: Any, like: jax.Array) -> jax.Array:
        array = self._array(name, value)
        if jnp.issubdtype(array.dtype, jnp.complexfloating) or array.dtype == bool:
            raise self.error(f"{name} of a real type", str(array.dtype), "give real numbers")
        return self._remember(array.astype(jnp.finfo(like.dtype).dtype), value)

    def _array(self, name: str, value: Any) -> jax.Array:
        try:
            return jnp.asarray(value)
        except (TypeError, ValueError):
            found = type(value).__name__
            raise self.error(f"numbers for {name}", found, "give an array") from None

    def _signed(self, name: str, array: jax.Array, positive: bool) -> None:
        self.require(array, _finite, f"finite numbers in {name}", "look at what produced it")
        if positive:
            self.require(array, lambda v: v > 0, f"{name} > 0", "raise it")
        else:
            self.require(array, lambda v: v >= 0, f"{name} >= 0", "raise it")

    def _remember(self, array: jax.Array, value: Any) -> jax.Array:
        """Keep the value where it is known: inside a traced function ``array`` hides it."""
        if known(value):
            with np.errstate(over="ignore"):
                self._known[id(array)] = (array, np.asarray(value).astype(array.dtype))
        return array

    def _value(self, array: Any) -> Any:
        return self._known.get(id(array), (array, array))[1]


def _is_leaf(value: Any) -> bool:
    return jax.tree_util.all_leaves([value])  # unlike treedef_is_leaf, neither None nor {}


def _finite(value: Any) -> Any:
    return jnp.isfinite(value) if isinstance(value, jax.Array) else np.isfinite(value)


def _fits(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False
