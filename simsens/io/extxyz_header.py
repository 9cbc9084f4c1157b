"""The comment line of an extended XYZ frame: which columns, which box, how many dimensions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from simsens.io import open_edges, planar

FLAGS = {"T": True, "TRUE": True, "1": True, "F": False, "FALSE": False, "0": False}

_WORD, _VALUE = re.compile(r"\s*([^\s=]*)"), re.compile(r"\S*")
_CLOSED_BY = {'"': '"', "'": "'", "{": "}"}


class Fault(ValueError):
    """Something is wrong with the text; whoever knows the name of the file adds it."""


@dataclass(frozen=True)
class Columns:
    """Which columns of a particle's line hold what."""

    width: int
    species: int
    position: slice
    mask: slice | None

    @property
    def components(self) -> int:
        """How many coordinates a line gives."""
        return self.position.stop - self.position.start


@dataclass(frozen=True)
class Header:
    """What the comment line says about the frame."""

    columns: Columns
    dimension: int
    box: np.ndarray | None
    boundary: tuple[bool, ...]


def parse(comment: str, asked: int | None = None) -> Header:
    """Read a comment line.

    Args:
        comment: the line; words that are no ``key=value`` pair are only a comment.
        asked: 2 or 3 where the caller knows the dimension.

    Raises:
        Fault: a key that cannot be understood, or that contradicts another.

    Example:
        >>> parse('Lattice="4 0 0 0 4 0 0 0 1" dimension=2 pbc="T F F"').boundary
        (True, False)
    """
    keys = _keys(comment)
    columns = _columns(keys.get("properties"))
    dimension = _dimension(keys, columns, asked)
    boundary = _boundary(keys.get("pbc"), dimension, "lattice" in keys)
    return Header(columns, dimension, _box(keys.get("lattice"), dimension, boundary), boundary)


def finite(word: str, place: str) -> float:
    """A finite number; ``place`` says in the message where it stands.

    Raises:
        Fault: it is not one.
    """
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    # Python reads 1_0 as ten, and digits of any script; nobody writing a coordinate means that.
    if not math.isfinite(value) or "_" in word or not word.isascii():
        raise Fault(f"{place} must be a finite number; found {word[:40]!r}")
    return value


def _keys(comment: str) -> dict[str, str]:
    """The ``key=value`` pairs of a comment line; anything else in it is only a comment."""
    found: dict[str, str] = {}
    # Word by word, and no closing sign is sought behind the last one: a line may be a megabyte.
    last = {closing: comment.rfind(closing) for closing in _CLOSED_BY.values()}
    at = 0
    while at < len(comment):
        word = _WORD.match(comment, at)
        assert word is not None
        at = word.end()
        if comment[at : at + 1] != "=":
            continue
        at += 1
        if not word[1]:
            continue
        closing = _CLOSED_BY.get(comment[at : at + 1], "")
        if closing and last[closing] > at:
            end = comment.index(closing, at + 1) + 1
        else:
            rest = _VALUE.match(comment, at)
            end = at if rest is None else rest.end()
        if end > at:
            value = comment[at:end]
            found[word[1].lower()] = re.sub(r"^([\"'{])(.*)[\"'}]$", r"\2", value)
            at = end
    return found


def _shown(text: str) -> str:
    return repr(text[:60])


def _columns(properties: str | None) -> Columns:
    text = "species:S:1:pos:R:3" if properties is None else properties
    words = text.split(":")
    if len(words) % 3:
        raise Fault(f"Properties must be triples name:type:count; found {_shown(text)}")
    place: dict[str, slice] = {}
    width = 0
    for name, kind, count in zip(words[::3], words[1::3], words[2::3]):
        if kind not in ("S", "R", "I", "L"):
            raise Fault(f"unknown type {_shown(kind)} in Properties; known are S, R, I, L")
        if not re.fullmatch(r"[1-9][0-9]{0,5}", count) or name in place:
            raise Fault(
                f"Properties needs a different name and a count for each column; found"
                f" {_shown(text)}"
            )
        place[name] = slice(width, width + int(count))
        width += int(count)
    kinds = dict(zip(words[::3], zip(words[1::3], words[2::3])))
    species_known = kinds.get("species") in (("S", "1"), ("I", "1"))
    if not species_known or kinds.get("pos") not in (("R", "3"), ("R", "2")):
        raise Fault(
            f"Properties must name species:S:1 and pos:R:3 (or pos:R:2); found {_shown(text)}"
        )
    mask = place.get("move_mask")
    return Columns(width, place["species"].start, place["pos"], mask)


def _dimension(keys: Mapping[str, str], columns: Columns, asked: int | None) -> int:
    said = keys.get("dimension", str(columns.components))
    if said not in ("2", "3"):
        raise Fault(f"the key dimension must be 2 or 3; found {_shown(said)}")
    dimension = int(said) if asked is None else asked
    if dimension > columns.components:
        raise Fault("pos:R:2 gives two components, three dimensions need pos:R:3")
    return dimension


def _box(lattice: str | None, dimension: int, boundary: tuple[bool, ...]) -> np.ndarray | None:
    if lattice is None:
        return None
    words = lattice.replace(",", " ").split()
    if len(words) not in (4, 9):
        raise Fault(
            f"Lattice must be 9 numbers, the edge vectors (or 4 in two dimensions); found"
            f" {len(words)}: {_shown(lattice)}"
        )
    rows = 2 if len(words) == 4 else 3
    if rows < dimension:
        raise Fault("a Lattice of 4 numbers is for two dimensions; add dimension=2, or give 9")
    box = np.array([finite(word, "a number of Lattice") for word in words]).reshape(rows, rows)
    return open_edges.complete(planar.flatten_box(box) if dimension == 2 else box, boundary)


def _boundary(pbc: str | None, dimension: int, has_box: bool) -> tuple[bool, ...]:
    if pbc is None:
        return (has_box,) * dimension
    words = pbc.replace(",", " ").split()
    flags = [FLAGS.get(word.upper()) for word in words]
    if None in flags or len(flags) not in (1, dimension, 3):
        raise Fault(f"pbc must be T or F for each of {dimension} edges; found {pbc[:40]!r}")
    boundary = tuple(bool(flag) for flag in (flags * dimension)[:dimension])
    if any(boundary) and not has_box:
        raise Fault(f"pbc={_shown(pbc)} asks for periodic edges; add a Lattice, or say pbc='F F F'")
    return boundary
