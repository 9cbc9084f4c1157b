"""``python -m simsens`` is ``simsens``."""

from simsens.cli.main import main

main()
