"""Figures as files and as parts of a page, the same bytes at every time."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simsens.io import atomic
from simsens.plots.style import printable

FORMATS: dict[str, str] = {".png": "Software", ".svg": "Date", ".pdf": "CreationDate"}
STROKES = {"stroke-linejoin": "round", "stroke-linecap": "butt"}  # what matplotlib's <style> says


def save(figure: Figure | Axes, path: str | os.PathLike[str]) -> None:
    """Write a figure to a ``.png``, ``.svg`` or ``.pdf`` file, the same bytes at every time.

    Args:
        figure: or the axes on it, whose whole figure is written.
        path: the file, which is replaced if it is there.

    Raises:
        ValueError: another suffix.
        UnwritableFile: no such folder, no permission, no space left on the disk.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "empty.svg"
        >>> save(Figure(), path)
        >>> path.read_text()[:5]
        '<?xml'
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"a figure's file ends in {', '.join(FORMATS)}; got {Path(path).name!r}")
    with atomic.replacing(path, overwrite=True) as temporary:
        _write(figure, temporary, suffix)


def inline_svg(figure: Figure | Axes, prefix: str, label: str) -> str:
    """A figure as an ``<svg>`` element for the middle of a page.

    It is parsed and written anew: without comments (which repeat its texts), metadata (which name
    addresses) and a style sheet (which would rule the page), and with its identifiers behind
    ``prefix``, so that those of several figures do not meet.

    Args:
        figure: or the axes on it.
        prefix: letters and digits.
        label: what a reader who cannot see it is told; any text.

    Example:
        >>> inline_svg(Figure((1, 1)), "a", "<nothing>")[:44]
        '<svg role="img" aria-label="&lt;nothing&gt;"'
    """
    buffer = io.BytesIO()
    _write(figure, buffer, ".svg")
    drawn = ElementTree.fromstring(buffer.getvalue())
    box = drawn.get("viewBox", "0 0 1 1")
    width = float(box.split()[2]) * 4 / 3  # points of 1/72 inch, pixels of 1/96
    for element in list(drawn.iter()):
        for child in list(element):
            if _local(child.tag) in ("metadata", "style"):
                element.remove(child)
        _rename(element, prefix)
    drawn.attrib = {
        "role": "img", "aria-label": printable(label), "viewBox": box,
        "style": f"max-width:{width:.0f}px", **STROKES,
    }  # fmt: skip
    return ElementTree.tostring(drawn, encoding="unicode", short_empty_elements=True)


def _write(figure: Figure | Axes, target: Any, suffix: str) -> None:
    whole: Any = figure.figure.figure  # of axes, perhaps in a part of a figure
    with mpl.rc_context({"svg.hashsalt": "simsens"}):
        whole.savefig(
            target, format=suffix[1:], dpi=150, facecolor="white", bbox_inches="tight",
            pad_inches=0.12, metadata={FORMATS[suffix]: None},
        )  # fmt: skip


def _rename(element: ElementTree.Element, prefix: str) -> None:
    """Plain names without namespaces, and own identifiers: HTML knows what an ``<svg>`` is."""
    element.tag, element.tail = _local(element.tag), None
    renamed = {}
    for key, value in element.attrib.items():
        name = _local(key)
        if name == "id":
            value = f"{prefix}-{value}"
        elif name == "href" and value.startswith("#"):
            value = f"#{prefix}-{value[1:]}"
        renamed[name] = re.sub(r"url\(#", f"url(#{prefix}-", value)
    element.attrib = renamed
    if not (element.text or "").strip():
        element.text = None


def _local(name: str) -> str:
    return name.rpartition("}")[2]
