"""What can go wrong with a file, each told in one line: needed, found, what to do."""

from __future__ import annotations


class UnreadableFile(ValueError):
    """The file is missing, malformed, or holds no structure; the message names the file."""


class UnknownFormat(ValueError):
    """No reader or writer goes with the name of the file; the message lists those there are."""


class OutputExists(FileExistsError):
    """The output is there already, and nobody said that it may be replaced."""


class UnwritableFile(OSError):
    """The output cannot be written: no such folder, no permission, no space left."""


class AnotherSystem(ValueError):
    """A run was begun with another system than it is to be gone on with; the message says how."""


class MissingPackage(ImportError):
    """A package that only this needs is not installed; the message says how to install it."""


def one_line(error: BaseException, longest: int = 200) -> str:
    r"""The first line of what an error of another library says, cut to a readable length.

    Example:
        >>> one_line(ValueError("bad header\nlots of detail"))
        'bad header'
    """
    said = str(error).strip() or type(error).__name__
    return said.splitlines()[0][:longest]
