"""`python -m mivolo_cli` and the command `mivolo`."""

from . import cli
from .cli import streams


def main() -> None:
    streams.run(cli.main)


if __name__ == "__main__":
    main()
