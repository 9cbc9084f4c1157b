"""A file is there whole, or not at all.

What is written goes to a temporary file in the same folder, is forced to the disk, and takes the
name of the output in one step. Whatever happens before that step, the temporary file is removed
and a file that was there before is as it was.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from simsens.io.errors import OutputExists, UnwritableFile, one_line


@contextmanager
def replacing(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path to write to; afterwards it bears the name ``path``.

    Args:
        path: the output.
        overwrite: whether a file of this name may be replaced.

    Raises:
        OutputExists: the file is there and ``overwrite`` is false.
        UnwritableFile: no such folder, no permission, no space left on the disk.

    Example:
        >>> import tempfile
        >>> output = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with replacing(output) as temporary:
        ...     size = temporary.write_text("whole")
        >>> output.read_text(), len(list(output.parent.iterdir()))
        ('whole', 1)
    """
    target = Path(path)
    check_output(target, overwrite)
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        yield temporary
        # Asked again: somebody may have written the output in the meantime.
        check_output(target, overwrite)
        rename(temporary, target)
    except (OutputExists, UnwritableFile):
        raise
    except OSError as error:
        raise UnwritableFile(f"{target} cannot be written: {reason(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_output(target: Path, overwrite: bool) -> None:
    """Refuse an output that cannot be written, before any work is done.

    Raises:
        OutputExists: the file is there and ``overwrite`` is false.
        UnwritableFile: the folder is missing, or the path is a folder.
    """
    if target.is_dir():
        raise UnwritableFile(f"{target} is a folder; give the name of a file in it")
    if not target.parent.is_dir():
        raise UnwritableFile(f"{target} cannot be written: there is no folder {target.parent}")
    if not overwrite and (target.exists() or target.is_symlink()):
        raise OutputExists(
            f"{target} exists: choose another name, or replace it with --overwrite (overwrite=True)"
        )


def rename(path: Path, target: Path) -> None:
    """Force a file to the disk and give it its name, in place of a file that had it."""
    _force_to_disk(path)
    path.replace(target)


def force_names(folder: Path) -> None:
    """Force to the disk which names the files of a folder have, where the system can do that."""
    with suppress(OSError):
        _force_to_disk(folder)


def reason(error: OSError) -> str:
    """Why the system refused, in its own words: ``No space left on device``."""
    return error.strerror or one_line(error)


def _force_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
