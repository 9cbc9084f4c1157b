"""The chemical symbols, so that a file can say ``18`` where the species is called ``Ar``.

Readers of trajectories expect atomic numbers. Species of a model (``A``, ``B``, ``bead1``) have
none: they are numbered from one, and their names are stored beside.
"""

from __future__ import annotations

from collections.abc import Sequence

_TABLE = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se"
    " Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb"
    " Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm"
    " Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
)
SYMBOLS = tuple(_TABLE.split())

_NUMBER = {symbol: k + 1 for k, symbol in enumerate(SYMBOLS)}


def are_elements(names: Sequence[str]) -> bool:
    """Whether every name is a chemical symbol.

    Example:
        >>> are_elements(["Ar", "Kr"]), are_elements(["A", "B"])
        (True, False)
    """
    return all(name in _NUMBER for name in names)


def numbers(names: Sequence[str]) -> list[int]:
    """A whole number for each species: its atomic number, or its place counted from one.

    Example:
        >>> numbers(["Ar", "Kr"]), numbers(["A", "B"])
        ([18, 36], [1, 2])
    """
    if are_elements(names):
        return [_NUMBER[name] for name in names]
    return list(range(1, len(names) + 1))
