"""`python -m mivolo_cli` and the command `mivolo`."""

from .cli import main

if __name__ == "__main__":
    main()
