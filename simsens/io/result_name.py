"""What a result file may be called."""

from __future__ import annotations

import os
from pathlib import Path

from simsens.io.errors import UnknownFormat

RESULTS = (".h5md", ".h5")


def check(path: str | os.PathLike[str]) -> None:
    """Refuse a name that is not that of a result.

    Raises:
        UnknownFormat: telling how it must end.
    """
    if Path(path).suffix.lower() not in RESULTS:
        raise UnknownFormat(f"{path}: the name of a result ends in {' or '.join(RESULTS)}")


def partial(path: str | os.PathLike[str]) -> Path:
    """Where a run is written until it is whole.

    Example:
        >>> partial("run.h5md").name
        'run.partial.h5md'
    """
    place = Path(path)
    return place.with_name(f"{place.stem}.partial{place.suffix}")


def stem(path: str | os.PathLike[str]) -> str:
    """The name without its end, of a run that has not ended as well.

    Example:
        >>> stem("run.h5md"), stem("run.partial.h5md")
        ('run', 'run')
    """
    return Path(path).stem.removesuffix(".partial")
