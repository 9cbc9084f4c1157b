"""Many results in one file: a row a member, for whatever all members have.

Copied by default. A virtual data set shows the arrays of the members without copying them, but one
whose member was moved or changed shows other numbers, or NaN, without a word; so what is written
with ``virtual`` notes size, time and checksum of every member, and is read only while they hold.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from simsens.io import atomic, filters, guarded, h5md_read, opened, quiet_file, schema
from simsens.io.errors import UnreadableFile
from simsens.io.stored import Stored

TEXT = h5py.string_dtype()
GROUP = "simsens_ensemble"
# The arrays over particles: how a member's stands in its own file, and what is left away of it.
LARGE = {"position": "simsens/minimum/position", "dR_dtheta": "simsens/sensitivity/dR_dtheta"}


@dataclass(frozen=True)
class Ensemble:
    """What several results have in common, a row a member.

    Attributes:
        names: of the members' files.
        parameters: of the potential.
        theta: ``[member, parameter]``.
        energy: ``[member]``.
        max_force: ``[member]``.
        converged: ``[member]``.
        wrt: what derivatives were taken by; empty where some member has none.
        trusted: ``[member]``, false where there are no derivatives.
        error_bound: ``[member, wrt]``.
        observables: ``name -> (value [member], derivative [member, wrt])``.
        position: ``[member, particle, dimension]``, or ``None`` if shapes differ.
        position_derivative: ``[member, particle, dimension, wrt]``, or ``None``.
    """

    names: tuple[str, ...]
    parameters: tuple[str, ...]
    theta: np.ndarray
    energy: np.ndarray
    max_force: np.ndarray
    converged: np.ndarray
    wrt: tuple[str, ...]
    trusted: np.ndarray
    error_bound: np.ndarray
    observables: dict[str, tuple[np.ndarray, np.ndarray]]
    position: np.ndarray | None
    position_derivative: np.ndarray | None


def merge(
    paths: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    virtual: bool = False,
    overwrite: bool = False,
) -> None:
    """Write what several results have in common into one file; the members stay as they are.

    Args:
        paths: the members, results of the same parameters.
        output: the merged file, ``.h5``.
        virtual: show the arrays over particles instead of copying them; the members must stay
            where they are, beside or below the output.
        overwrite: whether a file of this name may be replaced.

    Raises:
        UnreadableFile: a member is no result.
        ValueError: members that do not fit each other, none at all, or one twice.
        OutputExists: the file is there and ``overwrite`` is false.
        UnwritableFile: no such folder, no permission, no space left.
    """
    target, places = Path(output), [Path(path) for path in paths]
    if not places:
        raise ValueError("there is nothing to merge: give the members")
    atomic.check_output(target, overwrite)
    resolved = [place.resolve() for place in places]
    if len(set(resolved)) < len(resolved) or target.resolve() in resolved:
        raise ValueError("a member is given twice, or is the output")
    labels = [_label(place, target, virtual) for place in places]
    first = _load(places[0])
    with (
        atomic.replacing(target, overwrite) as temporary,
        quiet_file.writing(temporary) as file,
    ):
        group, same = _create(file, first, labels), set(LARGE)
        for row, place in enumerate(places):
            member = first if row == 0 else _load(place)
            _check_fits(places[0], first, place, member)
            _write_row(group, row, place, member)
            same = {name for name in same if _same(name, first, member)}
        for name in sorted(same):
            (_show if virtual else _copy)(group, name, places, labels)


def load(path: str | os.PathLike[str]) -> Ensemble:
    """Read a merged file.

    Raises:
        UnreadableFile: it is none, is damaged, or shows members that were moved or changed.
    """
    with opened.told(path):
        if not Path(path).is_file():
            raise UnreadableFile(f"{path}: there is no such file; check the path")
        with h5py.File(path, "r") as file:
            if not guarded.has(file, GROUP):
                raise guarded.Refused("is no merged file: it has no group /simsens_ensemble")
            return _read(guarded.group(file, GROUP), Path(path))


def _read(group: h5py.Group, path: Path) -> Ensemble:
    names = guarded.texts(group, "member/name", (None,))
    keys, wrt = (guarded.texts(group, f"{place}", (None,)) for place in ("parameter", "wrt"))
    count = len(names)
    observables = {
        name: (
            guarded.numbers(group, f"observables/{name}/value", (count,)),
            guarded.numbers(group, f"observables/{name}/derivative", (count, len(wrt))),
        )
        for name in guarded.group(group, "observables")
    }
    large: dict[str, Any] = dict.fromkeys(LARGE)
    for name in LARGE:
        if guarded.has(group, name):
            if isinstance(group[name], h5py.Dataset) and group[name].is_virtual:
                large[name] = np.stack([*_shown(group, path, name, names)])
            else:
                axes = (count,) + (None,) * (2 if name == "position" else 3)
                large[name] = guarded.numbers(group, name, axes)
    return Ensemble(
        names=names,
        parameters=keys,
        theta=guarded.numbers(group, "theta", (count, len(keys))),
        energy=guarded.numbers(group, "energy", (count,)),
        max_force=guarded.numbers(group, "max_force", (count,)),
        converged=guarded.numbers(group, "converged", (count,), "u").astype(bool),
        wrt=wrt,
        trusted=guarded.numbers(group, "trusted", (count,), "u").astype(bool),
        error_bound=guarded.numbers(group, "error_bound", (count, len(wrt))),
        observables=observables,
        position=large["position"],
        position_derivative=large["dR_dtheta"],
    )


def _create(file: h5py.File, first: Stored, labels: list[str]) -> h5py.Group:
    group, count = file.create_group(GROUP), len(labels)
    group.attrs["schema_version"] = schema.VERSION
    group.create_dataset("member/name", data=labels, dtype=TEXT)
    group.create_dataset("member/sha256", (count,), TEXT)
    group.create_dataset("member/size", (count,), "i8")
    group.create_dataset("member/mtime_ns", (count,), "i8")
    for name, words in (("parameter", tuple(first.theta)), ("wrt", first.parameters)):
        group.create_dataset(name, data=list(words), shape=(len(words),), dtype=TEXT)
    group.create_dataset("theta", (count, len(first.theta)), "f8")
    group.create_dataset("error_bound", (count, len(first.parameters)), "f8")
    for name, kind in (
        ("energy", "f8"), ("max_force", "f8"), ("converged", "u1"), ("trusted", "u1")
    ):  # fmt: skip
        group.create_dataset(name, (count,), kind)
    group.create_group("observables")
    for name in first.observables:
        group.create_dataset(f"observables/{name}/value", (count,), "f8")
        shape = (count, len(first.parameters))
        group.create_dataset(f"observables/{name}/derivative", shape, "f8")
    return group


def _write_row(group: h5py.Group, row: int, place: Path, member: Stored) -> None:
    told = place.stat()
    group["member/sha256"][row] = _checksum(place)
    group["member/size"][row], group["member/mtime_ns"][row] = told.st_size, told.st_mtime_ns
    group["theta"][row] = list(member.theta.values())
    group["energy"][row], group["max_force"][row] = member.energy, member.max_force
    group["converged"][row] = member.converged
    if member.certificate is not None:
        group["trusted"][row] = member.certificate.trusted
        group["error_bound"][row] = member.certificate.error_bound
    for name, (value, slope) in member.observables.items():
        group[f"observables/{name}/value"][row] = value
        group[f"observables/{name}/derivative"][row] = slope


def _copy(group: h5py.Group, name: str, places: list[Path], labels: list[str]) -> None:
    shape: tuple[int, ...] = ()
    for row, place in enumerate(places):
        array = _array(_load(place), name)
        if not shape:
            shape = array.shape
            group.create_dataset(
                name, (len(places), *shape), "f8", chunks=(1, *shape), **filters.options("gzip")
            )
        group[name][row] = array


def _show(group: h5py.Group, name: str, places: list[Path], labels: list[str]) -> None:
    shape = _array(_load(places[0]), name).shape
    layout = h5py.VirtualLayout((len(places), *shape), "f8")
    for row, label in enumerate(labels):
        layout[row] = h5py.VirtualSource(label, LARGE[name], shape)
    group.create_virtual_dataset(name, layout, fillvalue=np.nan)


def _shown(group: h5py.Group, path: Path, name: str, labels: Sequence[str]) -> Iterator[np.ndarray]:
    """The arrays of the members that a virtual data set shows, from the members themselves."""
    count = len(labels)
    sums = guarded.texts(group, "member/sha256", (count,))
    sizes, times = (
        guarded.numbers(group, f"member/{each}", (count,), "i") for each in ("size", "mtime_ns")
    )
    for label, known, size, moment in zip(labels, sums, sizes, times):
        if Path(label).is_absolute() or ".." in Path(label).parts:
            raise guarded.Refused(f"the member {label} lies outside the folder of the file")
        place = path.parent / label
        if not place.is_file():
            raise guarded.Refused(f"the member {label} is missing: put it back, or merge again")
        told = place.stat()
        unchanged = (told.st_size, told.st_mtime_ns) == (size, moment)
        if not unchanged and _checksum(place) != known:
            raise guarded.Refused(f"the member {label} has changed: merge again")
        yield _array(_load(place), name)


def _label(place: Path, target: Path, virtual: bool) -> str:
    if not virtual:
        return str(place)
    folder = target.resolve().parent
    try:
        return str(place.resolve().relative_to(folder))
    except ValueError:
        raise ValueError(
            f"{place} does not lie beside or below {target}: copy it there, or merge copies"
        ) from None


def _load(place: Path) -> Stored:
    return h5md_read.load(place)


def _array(member: Stored, name: str) -> np.ndarray:
    found = member.structure.position if name == "position" else member.position_derivative
    return np.asarray(found, float)


def _same(name: str, first: Stored, member: Stored) -> bool:
    if name == "dR_dtheta" and None in (first.certificate, member.certificate):
        return False
    return _array(first, name).shape == _array(member, name).shape


def _check_fits(first_place: Path, first: Stored, place: Path, member: Stored) -> None:
    for words, one, other in (
        ("parameters", tuple(first.theta), tuple(member.theta)),
        ("derivatives by", first.parameters, member.parameters),
        ("observables", tuple(first.observables), tuple(member.observables)),
        ("units", (first.units,), (member.units,)),
    ):
        if one != other:
            raise ValueError(
                f"{place} does not fit {first_place}: {words} {', '.join(other) or 'none'}, not"
                f" {', '.join(one) or 'none'}"
            )


def _checksum(place: Path) -> str:
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
