"""``python -m simsens`` is ``simsens``."""

from simsens.cli.main import main

if __name__ == "__main__":
    main()
