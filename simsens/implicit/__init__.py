"""The calculus: derivatives of roots and fixed points, linear solves, evidence. No physics.

Names are loaded when first used, so that who needs only a ``Certificate`` does not start JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "custom_root": "root",
    "custom_fixed_point": "fixed_point",
    "implicit_root": "root",
    "implicit_fixed_point": "fixed_point",
    "displacement": "fixed_point",
    "root_jvp": "products",
    "root_vjp": "products",
    "prepare_root": "prepared",
    "certified_jvp": "certified",
    "certified_vjp": "certified",
    "Certificate": "certificate",
    "LinearSolution": "linear_solve",
    "declare": "structure",
    "declared": "structure",
    "on_host": "host",
    "DerivativeFailed": "failure",
    "DerivativeWarning": "failure",
}

__all__ = [*_HOME, "linear_solve"]

if TYPE_CHECKING:
    from simsens.implicit import linear_solve
    from simsens.implicit.certificate import Certificate
    from simsens.implicit.certified import certified_jvp, certified_vjp
    from simsens.implicit.failure import DerivativeFailed, DerivativeWarning
    from simsens.implicit.fixed_point import custom_fixed_point, displacement, implicit_fixed_point
    from simsens.implicit.host import on_host
    from simsens.implicit.linear_solve import LinearSolution
    from simsens.implicit.prepared import prepare_root
    from simsens.implicit.products import root_jvp, root_vjp
    from simsens.implicit.root import custom_root, implicit_root
    from simsens.implicit.structure import declare, declared


def __getattr__(name: str) -> Any:
    if name == "linear_solve":
        return importlib.import_module("simsens.implicit.linear_solve")
    if name not in _HOME:
        raise AttributeError(f"module 'simsens.implicit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"simsens.implicit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
