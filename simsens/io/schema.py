"""Every name in a result file, its kind and shape: what is written, checked and documented.

Sizes are letters: N particles, D dimensions of space, T frames, S species, K parameters of the
potential, P parameters of the derivatives, M modes, and ``*`` for any. A letter stands for one
number throughout a file. ``f8`` is float64, ``f`` float32 or float64, ``i`` whole numbers of any
width.

Version 2 moved what does not change (species, box, boundary, fixed) from ``minimum`` to
``structure``, so that a run in progress can be read. The rule for changes: a new name that may be
missing keeps the version; what a reader of the old version would misunderstand raises it, and the
reader of the new one goes on reading the old one (``h5md_read``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import h5py

from simsens.io import guarded
from simsens.io.units import UNITS

VERSION = 2
READABLE = (1, 2)


class Entry(NamedTuple):
    """One name of the file.

    Attributes:
        path: from the root; ``group@name`` for an attribute.
        form: its kind, with the shape of a data set.
        words: what it holds.
        needed: whether a file without it is damaged; within a group that may be missing, whether
            that group without it is.
    """

    path: str
    form: str
    words: str
    needed: bool = True


_G, _S = "particles/trajectory", "simsens"
TRAJECTORY = (
    Entry("h5md@version", "i[2]", "1, 1"),
    Entry("h5md/author@name", "text", "`N/A`"),
    Entry("h5md/creator@name", "text", "`simsens`"),
    Entry("h5md/creator@version", "text", "of simsens"),
    Entry("h5md/modules/simsens@version", "i[2]", "1, 0"),
    Entry("h5md/modules/simsens@spatial_dimension", "i", "D, 2 or 3"),
    Entry(f"{_G}/position/step", "i[T]", "step of the optimiser"),
    Entry(f"{_G}/position/time", "f8[T]", "the same: a relaxation has no other time"),
    Entry(f"{_G}/position/value", "f[T,N,3]", "positions, not wrapped into the box"),
    Entry(f"{_G}/box@dimension", "i", "3"),
    Entry(f"{_G}/box@boundary", "text[3]", "`periodic` or `none` for each edge"),
    Entry(f"{_G}/box/edges/value", "f8[T,3,3]", "edge vectors as **rows**; zeros in free space"),
    Entry(f"{_G}/species/value", "i[T,N]", "atomic numbers if all are elements, else 1, 2, ..."),
    Entry("observables/trajectory/potential_energy/value", "f8[T]", "total, not per particle"),
    Entry("observables/trajectory/max_force/value", "f8[T]", "largest force on a free particle"),
)
BEGUN = (
    Entry(f"{_S}@schema_version", "i", f"{VERSION}"),
    Entry(f"{_S}@units", "text", "`reduced` or `metal`"),
    Entry(f"{_S}@coordinate_space", "text", "`cartesian`"),
    Entry(f"{_S}@spatial_dimension", "i", "D, 2 or 3"),
    Entry(f"{_S}@gauge", "text", "`zero mean displacement`"),
    Entry(f"{_S}@n_committed", "i", "how many frames are good"),
    Entry(f"{_S}@status", "text", "`running`, `complete`, `not converged` or `interrupted`"),
    Entry(f"{_S}/structure/start", "f[N,D]", "where the particles came from"),
    Entry(f"{_S}/structure/species", "i[N]", "index into `species_names`"),
    Entry(f"{_S}/structure/species_names", "text[S]", "the names of the species"),
    Entry(f"{_S}/structure/box", "f8[D,D]", "edge vectors as rows", False),
    Entry(f"{_S}/structure/fixed", "u[N]", "1 for particles held in place", False),
    Entry(f"{_S}/structure@boundary", "text[D]", "`periodic` or `none` for each edge"),
    Entry(f"{_S}/theta@potential", "text", "the class of the potential"),
    Entry(f"{_S}/theta/name", "text[K]", "every parameter of the potential"),
    Entry(f"{_S}/theta/value", "f8[K]", "where they stand"),
    Entry(f"{_S}/potential@name", "text", "`soft-sphere`, ...; empty for an energy of one's own"),
)
FOUND = (
    Entry(f"{_S}/minimum", "group", "what the relaxation reached", False),
    Entry(f"{_S}/minimum/position", "f[N,D]", "the minimum"),
    Entry(f"{_S}/minimum@energy", "f8", "its potential energy"),
    Entry(f"{_S}/minimum@max_force", "f8", "the largest force that is left"),
    Entry(f"{_S}/minimum@step", "i", "steps that were made"),
    Entry(f"{_S}/minimum@converged", "bool", "whether `max_force` is at most `fmax`"),
    Entry(f"{_S}/minimum@criterion", "text", "what ended the run"),
    Entry(f"{_S}/minimum@fmax", "f8", "what was asked for"),
    Entry(f"{_S}/minimum@optimizer", "text", "its name"),
    Entry(f"{_S}/history", "group", "how the run went", False),
    Entry(f"{_S}/history/relax", "f8[*,3]", "step, energy, largest force"),
    Entry(f"{_S}/history/relax@columns", "text[3]", "their names"),
    Entry(f"{_S}/history/linear_solve", "f8[P,2]", "iterations, true relative residual", False),
    Entry(f"{_S}/sensitivity", "group", "the derivatives", False),
    Entry(f"{_S}/sensitivity/dR_dtheta", "f8[N,D,P]", "of the relaxed positions, in the gauge"),
    Entry(f"{_S}/sensitivity/parameter", "text[P]", "by what; a dimension scale"),
    Entry(f"{_S}/sensitivity/parameter_value", "f8[P]", "where they stand"),
    Entry(f"{_S}/sensitivity/particle", "i[N]", "0, 1, ...; a dimension scale"),
    Entry(f"{_S}/sensitivity/axis", "text[D]", "x, y, z; a dimension scale"),
    Entry(f"{_S}/sensitivity/rattlers", "i[*]", "particles that nothing holds: zero derivative"),
    Entry(f"{_S}/sensitivity/observables", "group", "what was measured on the minimum"),
    Entry(f"{_S}/sensitivity/observables/NAME/value", "f8", "one of them"),
    Entry(f"{_S}/sensitivity/observables/NAME/dNAME_dtheta", "f8[P]", "its total derivative"),
    Entry(f"{_S}/certificate", "group", "the evidence for the derivatives", False),
    Entry(f"{_S}/certificate@trusted", "bool", "the verdict"),
    Entry(f"{_S}/certificate@reason", "text", "the verdict in a sentence"),
    Entry(f"{_S}/certificate@method", "text", "how the linear systems were solved"),
    Entry(f"{_S}/certificate@iterations", "i", "of the linear solver, 0 for a factorisation"),
    Entry(f"{_S}/certificate@optimality_residual", "f8", "the largest force"),
    Entry(f"{_S}/certificate@root_error", "f8", "estimated distance to the exact minimum"),
    Entry(f"{_S}/certificate@smallest_curvature", "f8", "of the Hessian, zeros left out"),
    Entry(f"{_S}/certificate@largest_curvature", "f8", "of the Hessian"),
    Entry(f"{_S}/certificate@zero_modes", "i", "how many curvatures are zero"),
    Entry(f"{_S}/certificate@expected_zero_modes", "i", "how many are explained"),
    Entry(f"{_S}/certificate@negative_modes", "i", "how many are negative: a saddle"),
    Entry(f"{_S}/certificate/linear_residual", "f[P]", "of the linear systems, relative"),
    Entry(f"{_S}/certificate/error_bound", "f8[P]", "relative, of the derivative"),
    Entry(f"{_S}/certificate/one_percent_step", "f[P]", "where first order is 1 % off"),
    Entry(f"{_S}/certificate/validity_radius", "f[P,2]", "how far it may fall, and rise"),
    Entry(f"{_S}/certificate/notes", "text[*]", "what else a reader should know"),
    Entry(f"{_S}/modes", "group", "the normal modes, the fields of `NormalModes`", False),
    Entry(f"{_S}/modes/curvature", "f[M]", "eigenvalues of the Hessian"),
    Entry(f"{_S}/modes/mode", "f[N,D,M]", "its eigenvectors"),
    Entry(f"{_S}/modes/residual", "f[M]", "what a Hessian product says of each"),
    Entry(f"{_S}/moduli", "group", "the elastic moduli, the fields of `ElasticModuli`", False),
    Entry(f"{_S}/moduli/strains", "text[V]", "the components, in Voigt's order"),
    Entry(f"{_S}/moduli/stiffness", "f[V,V]", "of the relaxed energy"),
    Entry(f"{_S}/moduli/affine", "f[V,V]", "if particles merely followed"),
    Entry(f"{_S}/moduli/error", "f[V,V]", "of the stiffness, estimated"),
    Entry(f"{_S}/moduli/stress", "f[D,D]", "at rest"),
    Entry(f"{_S}/moduli/position_derivative", "f[N,D,V]", "non-affine, per unit strain"),
    Entry(f"{_S}/checkpoint", "group", "states to go on from, until the run is complete", False),
    Entry(f"{_S}/provenance", "group", "how the file came about, as attributes"),
    Entry(f"{_S}@digest", "text", "checksums of its parts, as JSON, once the run has ended", False),
)
ENTRIES = TRAJECTORY + BEGUN + FOUND
_MAY_BE_MISSING = [each.path for each in ENTRIES if each.form == "group" and not each.needed]
# Words of which one must stand there, and names of which no two may be alike.
WORDS = {
    f"{_S}@units": tuple(UNITS),
    f"{_S}@coordinate_space": ("cartesian",),
    f"{_S}@status": ("running", "complete", "not converged", "interrupted"),
    f"{_S}/structure@boundary": ("periodic", "none"),
    f"{_G}/box@boundary": ("periodic", "none"),
}
DIFFERENT = (
    f"{_S}/theta/name",
    f"{_S}/structure/species_names",
    f"{_S}/sensitivity/parameter",
)
_FORM = re.compile(r"(group|bool|text|f8|f|i|u)(?:\[(.*)\])?")
_KINDS = {"f8": "f", "f": "f", "i": "iu", "u": "u"}


def faults(file: h5py.File) -> Iterator[str]:
    """What is wrong with a file of the present version, in words; nothing if all is right.

    Names, kinds, shapes and sizes are looked at, and that they fit each other; no array of numbers
    is read.
    """
    sizes: dict[str, int] = {}
    for entry in ENTRIES:
        for place in _places(file, entry):
            try:
                _check(file, entry, place, sizes)
            except guarded.Refused as refused:
                yield str(refused)
    ended = _told(file, _S, "status") != "running"
    if ended and not _has(file, f"{_S}/minimum"):
        yield f"{_S}/minimum is missing, though the run has ended"
    for name in ("energy", "max_force"):
        value, minimum = _told(file, f"{_S}/minimum", name), f"{_S}/minimum"
        finite = not isinstance(value, float) or math.isfinite(value)
        if not finite and _told(file, minimum, "converged") is True:
            yield f"{minimum}@{name} is {value}, though the run has converged"
    if _has(file, f"{_S}/sensitivity") != _has(file, f"{_S}/certificate"):
        yield "sensitivity and certificate must be there together, or neither"


def _told(file: h5py.File, path: str, name: str) -> Any:
    """An attribute, ``None`` where it cannot be read: that is told where it is an entry."""
    try:
        return guarded.attribute(guarded.group(file, path), name)
    except guarded.Refused:
        return None


def check(file: h5py.File) -> None:
    """Refuse a file that has a fault.

    Raises:
        Refused: the first fault.
    """
    for fault in faults(file):
        raise guarded.Refused(fault)


def table(entries: tuple[Entry, ...]) -> str:
    """The entries as a table of Markdown, for ``docs/file-format.md``."""
    lines = ["| path | kind | content |", "|---|---|---|"]
    for entry in entries:
        group, _, attribute = entry.path.partition("@")
        name = f"`{group}`, attribute `{attribute}`" if attribute else f"`{group}`"
        form = "text" if entry.form == "text" else entry.form.replace(",", ", ")
        lines.append(f"| {name} | {form}{'' if entry.needed else ', optional'} | {entry.words} |")
    return "\n".join(lines)


def _places(file: h5py.File, entry: Entry) -> list[str]:
    """Where the entry stands in this file: nowhere, if its group may be missing and is."""
    for other in _MAY_BE_MISSING:
        inside = entry.path.startswith((f"{other}/", f"{other}@"))
        if inside and not _has(file, other):
            return []
    if not entry.needed and not _has(file, entry.path):
        return []
    before, name, after = entry.path.partition("/NAME/")
    if not name:
        return [entry.path]
    try:
        names = list(guarded.group(file, before))
    except guarded.Refused:
        return []  # told where the group is an entry itself
    return [f"{before}/{each}/{after.replace('NAME', each)}" for each in names]


def _has(file: h5py.File, path: str) -> bool:
    parent: Any = file
    for name in path.split("/"):
        if not isinstance(parent, h5py.Group) or not guarded.has(parent, name):
            return isinstance(parent, h5py.Group) and parent.get(name, getlink=True) is not None
        parent = parent[name]
    return True


def _check(file: h5py.File, entry: Entry, place: str, sizes: dict[str, int]) -> None:
    match = _FORM.fullmatch(entry.form)
    assert match is not None
    kind, shape = match[1], tuple(match[2].split(",")) if match[2] else ()
    path, _, name = place.partition("@")
    if kind == "group":
        guarded.group(file, path)
        return
    if name:
        _check_attribute(
            guarded.attribute(guarded.found(file, path), name), place, kind, shape, sizes
        )
        return
    axes = (None,) * len(shape)
    if kind == "text":
        found = guarded.rows_of_texts(file, path, axes)
    else:
        found = guarded.rows(file, path, axes, _KINDS[kind])
        if kind == "f8" and found.dtype.itemsize != 8:
            raise guarded.Refused(f"{path} must hold float64; found {found.dtype}")
    _bind(place, shape, found.shape, sizes)
    if place in DIFFERENT:
        names = guarded.texts(file, path, axes)
        if len(set(names)) < len(names):
            raise guarded.Refused(f"{path} holds a name twice")


def _check_attribute(
    value: Any, place: str, kind: str, shape: tuple[str, ...], sizes: dict[str, int]
) -> None:
    values = value if isinstance(value, tuple) else (value,)
    if isinstance(value, tuple) != bool(shape):
        raise guarded.Refused(
            f"{place} must be {'several' if shape else 'one'}; found {value!r:.60}"
        )
    types: dict[str, Any] = {"text": str, "bool": bool, "i": int, "f8": (float, int)}
    if not all(isinstance(each, types[kind]) for each in values) or (
        kind in ("i", "f8") and any(isinstance(each, bool) for each in values)
    ):
        raise guarded.Refused(f"{place} must be of kind {kind}; found {value!r:.60}")
    if shape:
        _bind(place, shape, (len(values),), sizes)
    allowed = WORDS.get(place, values)
    for word in values:
        if word not in allowed:
            raise guarded.Refused(
                f"{place} must be one of {', '.join(allowed)}; found {word!r:.60}"
            )
    if place.endswith("@spatial_dimension"):
        if value not in (2, 3):
            raise guarded.Refused(f"spatial_dimension must be 2 or 3; found {value}")
        _bind(place, ("D",), (value,), sizes)
    if place == f"{_S}@n_committed":
        if value < 0:
            raise guarded.Refused(f"{place} is {value}; it counts frames")
        _bind(place, ("T",), (value,), sizes)


def _bind(
    place: str, shape: tuple[str, ...], found: tuple[int, ...], sizes: dict[str, int]
) -> None:
    """Let a letter stand for the size that was found first, and be that everywhere."""
    needed = f"[{', '.join(shape)}]"
    for letter, size in zip(shape, found):
        if letter.isdigit() and int(letter) != size:
            raise guarded.Refused(f"{place} must have the shape {needed}; found {found}")
        if not letter.isupper():
            continue
        known = sizes.setdefault(letter, size)
        # A run that was killed may have written a frame that it has not committed.
        if letter == "T":
            sizes["T"] = min(known, size)
            if place == f"{_S}@n_committed" and size > known:
                raise guarded.Refused(f"{place} is {size}, but there are {known} frames")
        elif known != size:
            raise guarded.Refused(
                f"{place} must have the shape {needed} with {letter} = {known}; found {found}"
            )
