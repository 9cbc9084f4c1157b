r"""Extended XYZ, read and written with numpy alone.

A frame is a count, a comment line of ``key=value`` pairs, and a line per particle::

    2
    Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T F"
    A 0.0 0.0 0.0
    bead1 1.1 0.0 0.0

* ``Lattice``: the edge vectors one after the other, 9 numbers (or 4 in two dimensions). Without it
  the particles are in free space; with it every edge is periodic unless ``pbc`` says otherwise.
* ``Properties``: the columns, ``name:type:count`` each; ``species:S:1:pos:R:3`` when missing.
  Columns other than ``species``, ``pos`` and ``move_mask`` (``F`` = held in place) are skipped.
* Two dimensions: ``pos:R:2``, or the key ``dimension=2`` with every z zero.

Nothing in a file is believed before it is checked: a count is compared with the size of the file,
and every message names the line it is about.
"""

from __future__ import annotations

import os
import re
from array import array
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from simsens.io import atomic, extxyz_header, planar
from simsens.io.errors import UnreadableFile
from simsens.io.extxyz_header import FLAGS, Columns, Fault, finite
from simsens.particles.structure import InvalidStructure, Structure, check

LONGEST_LINE = 2**20  # bytes; a line beyond this is not text of this format
SHORTEST_PARTICLE = 4  # bytes; "0 0\n", the least that a particle can take


def read_structure(
    path: str | os.PathLike[str], index: int = -1, dimension: int | None = None
) -> Structure:
    r"""Read one frame of an extended XYZ file.

    Args:
        path: the file.
        index: which frame, counted from zero, or from the end when negative.
        dimension: 2 or 3; what the file says by default.

    Raises:
        UnreadableFile: one line that names the file, the line in it, and what is wrong.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "pair.xyz"
        >>> _ = path.write_text("2\n\nA 0 0 0\nB 1.1 0 0\n")
        >>> read_structure(path, dimension=2).species_names
        ('A', 'B')
    """
    try:
        with _opened(Path(path)) as stream:
            frame = _find(stream, index)
            stream.seek(frame.offset)
            # Numbers near the largest there is are refused where they matter, and not warned of.
            with np.errstate(all="ignore"):
                structure = _parse(stream, frame, dimension)
                check(structure)
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read: {atomic.reason(error)}") from error
    except (Fault, InvalidStructure) as error:
        raise UnreadableFile(f"{path}: {error}") from None
    return structure


@dataclass(frozen=True)
class _Frame:
    """Where a frame lies: its particles, the number of its first line, its comment's offset."""

    number: int
    line: int
    offset: int


def _opened(path: Path) -> IO[bytes]:
    if not path.exists():
        raise Fault("there is no such file; check the path")
    if not path.is_file():
        raise Fault("is not a regular file; give the path of an extended XYZ file")
    return path.open("rb")


def _find(stream: IO[bytes], index: int) -> _Frame:
    frames = _frames(stream)
    # A frame counted from the start needs no look at what follows it.
    kept = list(islice(frames, index, index + 1)) if index >= 0 else deque(frames, -index)
    if len(kept) >= (1 if index >= 0 else -index):
        return kept[0]
    stream.seek(0)
    total = sum(1 for _ in _frames(stream))
    if not total:
        raise Fault("the file is empty; an extended XYZ file begins with the particle count")
    raise Fault(f"has no frame {index}; it holds {total}, counted from 0 or back from -1")


def _frames(stream: IO[bytes]) -> Iterator[_Frame]:
    size = os.fstat(stream.fileno()).st_size
    line = 0
    while head := _line(stream, line + 1):
        line += 1
        if not head.strip():
            continue
        number = _count(head, line, size - stream.tell())
        frame = _Frame(number, line, stream.tell())
        for k in range(number + 1):
            body = _line(stream, line + 1 + k)
            if k and not body.strip():
                follow = "only 1 line follows" if k == 2 else f"only {k - 1} lines follow"
                raise Fault(
                    f"line {line} declares {number} particles, but {follow} its comment line;"
                    " correct the count"
                )
        line += number + 1
        yield frame


def _count(head: bytes, line: int, left: int) -> int:
    text = head.strip()
    if not text.isdigit() or len(text) > 18:
        raise Fault(
            f"line {line} must hold the number of particles; found {_shown(text)}"
            + (" (too many lines in the frame before?)" if line > 1 else "")
        )
    number = int(text)
    if number == 0:
        raise Fault(f"line {line} declares 0 particles; at least one is needed")
    if number * SHORTEST_PARTICLE > left + 1:
        raise Fault(
            f"line {line} declares {number} particles, but only {left} bytes follow;"
            " correct the count"
        )
    return number


def _shown(text: bytes) -> str:
    return repr(text[:40].decode("utf-8", "replace"))


def _line(stream: IO[bytes], line: int) -> bytes:
    raw = stream.readline(LONGEST_LINE)
    if len(raw) == LONGEST_LINE:
        raise Fault(f"line {line} is longer than {LONGEST_LINE} characters; this is not XYZ")
    return raw


def _text(stream: IO[bytes], line: int) -> str:
    raw = _line(stream, line)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Fault(f"line {line} is not text; found {_shown(raw)}") from None


def _parse(stream: IO[bytes], frame: _Frame, dimension: int | None) -> Structure:
    header = extxyz_header.parse(_text(stream, frame.line + 1), dimension)
    names, position, fixed = _particles(stream, frame, header.columns)
    if header.dimension == 2 and header.columns.components == 3:
        position = planar.flatten_position(position)
    return Structure(position, species=names, box=header.box, boundary=header.boundary, fixed=fixed)


def _particles(
    stream: IO[bytes], frame: _Frame, columns: Columns
) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    names: list[str] = []
    coordinates = array("d")
    fixed = np.zeros(frame.number, bool)
    for k in range(frame.number):
        line = frame.line + 2 + k
        row = _text(stream, line).split()
        if len(row) != columns.width:
            raise Fault(f"line {line} must have {columns.width} columns; found {len(row)}")
        names.append(row[columns.species])
        place = f"line {line}: a coordinate"
        coordinates.extend(finite(word, place) for word in row[columns.position])
        if columns.mask is not None:
            fixed[k] = not _moves(row[columns.mask], line)
    position = np.array(coordinates).reshape(frame.number, columns.components)
    return names, position, fixed if fixed.any() else None


def _moves(words: Sequence[str], line: int) -> bool:
    flags = {FLAGS.get(word.upper()) for word in words}
    if len(flags) != 1 or None in flags:
        raise Fault(
            f"line {line}: move_mask must be T (moves) or F (held in place), for all components"
            f" alike; found {' '.join(words)[:40]!r}"
        )
    return bool(flags.pop())


def write_structure(
    path: str | os.PathLike[str],
    structure: Structure,
    extra_columns: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write a structure as extended XYZ, every number such that it is read back exactly.

    Args:
        path: the output.
        structure: in two dimensions z = 0 is written, and the key ``dimension=2``.
        extra_columns: arrays ``[particle]`` or ``[particle, k]`` by the name of their column.
        overwrite: whether a file of this name may be replaced.

    Raises:
        OutputExists: the file is there and ``overwrite`` is false.
        UnwritableFile: no such folder, no permission, no space left.
        ValueError: a name with a space in it, or a column that does not fit the particles.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "pair.extxyz"
        >>> write_structure(path, Structure([[0.0, 0.1], [1.1, 0.0]], box=4.0))
        >>> read_structure(path).position.tolist()
        [[0.0, 0.1], [1.1, 0.0]]
    """
    with atomic.replacing(path, overwrite) as temporary, temporary.open("x", encoding="utf-8") as f:
        write_frame(f, structure, extra_columns or {})


def write_frame(
    stream: IO[str],
    structure: Structure,
    extra_columns: Mapping[str, Any],
    said: Sequence[str] = (),
) -> None:
    """Write one frame, with further ``key=value`` of the comment line.

    Raises:
        ValueError: as ``write_structure``, or a comment longer than a line may be.
    """
    columns = _written_columns(structure, extra_columns)
    properties = ":".join(f"{name}:{_kind(a)}:{a.shape[1]}" for name, a in columns.items())
    comment = " ".join([_comment(structure, properties), *said])
    if len(comment.encode()) >= LONGEST_LINE:
        raise ValueError("so many keys and columns do not fit in a line of extended XYZ")
    rows = [
        map(" ".join, zip(*[iter(map(word, a.ravel().tolist()))] * a.shape[1]))
        for a in columns.values()
    ]
    stream.write(f"{structure.number}\n{comment}\n")
    stream.writelines(" ".join(row) + "\n" for row in zip(*rows))


def _written_columns(structure: Structure, extra: Mapping[str, Any]) -> dict[str, np.ndarray]:
    columns = {
        "species": np.array(structure.names()),
        "pos": planar.lift_position(np.asarray(structure.position, float)),
    }
    if structure.fixed is not None and np.any(structure.fixed):
        columns["move_mask"] = ~np.asarray(structure.fixed)
    for name, values in extra.items():
        if name in columns or not re.fullmatch(r"[^\s:=\"'{}]+", name):
            raise ValueError(f"a column cannot be called {name!r}; it is taken or not a plain word")
        columns[name] = np.asarray(values)
    for name, a in columns.items():
        if a.ndim not in (1, 2) or len(a) != structure.number or _kind(a) is None:
            raise ValueError(
                f"the column {name!r} must be [particle] or [particle, k] with"
                f" {structure.number} particles; found {a.dtype} of shape {a.shape}"
            )
        if a.dtype.kind == "U" and any(len(word.split()) != 1 for word in a.ravel().tolist()):
            raise ValueError(f"the names in the column {name!r} must be words without spaces")
    return {name: a.reshape(len(a), -1) for name, a in columns.items()}


def _kind(values: np.ndarray) -> str | None:
    return {"U": "S", "f": "R", "i": "I", "u": "I", "b": "L"}.get(values.dtype.kind)


def word(value: Any) -> str:
    """A number such that it is read back exactly, a bool as T or F, a word."""
    if isinstance(value, bool):
        return "T" if value else "F"
    return value if isinstance(value, str) else repr(value)


def _comment(structure: Structure, properties: str) -> str:
    keys = [f"Properties={properties}"]
    boundary = planar.lift_boundary(tuple(structure.boundary))
    if structure.box is not None:
        edges = planar.lift_box(np.asarray(structure.box, float)).ravel().tolist()
        keys.insert(0, f'Lattice="{" ".join(map(repr, edges))}"')
    keys.append(f'pbc="{" ".join(map(word, boundary))}"')
    if structure.dimension == 2:
        keys.append("dimension=2")
    return " ".join(keys)
