"""The version, told once; the build, the command line and every file read it here."""

__version__ = "0.1.0"
