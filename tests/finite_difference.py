r"""Every finite difference of the tests: central, extrapolated once.

The central difference C(h) = (f(x+h) - f(x-h)) / 2h errs by h^2/6 f''' + h^4/120 f^(5) + ...
Richardson's (4 C(h/2) - C(h)) / 3 cancels the first term and leaves -h^4/480 f^(5). Rounding adds
at most 3 eps |f| / h. The sum is smallest near h = eps^(1/5) in units of the length over which f
changes: there both are of the order eps^(4/5) = 3e-13. ``STEP`` is that number for functions that
change over lengths of one; tests of functions with kinks give a step that stays between the kinks.
"""

import numpy as np

STEP = float(np.finfo(float).eps ** 0.2)  # 7.4e-4


def derivative(function, at, step=STEP):
    """df/dx at a number; the function may return any array."""

    def central(h):
        return (np.asarray(function(at + h)) - np.asarray(function(at - h))) / (2 * h)

    return (4 * central(step / 2) - central(step)) / 3


def gradient(function, at, step=STEP):
    """df/dx for an array x, shape ``f.shape + x.shape``; one coordinate after the other."""
    at = np.asarray(at, float)
    columns = []
    for k in range(at.size):
        unit = np.zeros(at.size)
        unit[k] = 1.0
        unit = unit.reshape(at.shape)
        columns.append(derivative(lambda s, u=unit: function(at + s * u), 0.0, step))
    columns = np.stack(columns, axis=-1)
    return columns.reshape(*columns.shape[:-1], *at.shape)


def along(function, at, direction, step=STEP):
    """The directional derivative of a function of an array."""
    at, direction = np.asarray(at, float), np.asarray(direction, float)
    return derivative(lambda s: function(at + s * direction), 0.0, step)
