"""`python run.py` runs the site; `python run.py --help` lists every setting."""

import sys

from server.errors import SettingsError
from server.main import run
from settings import parse_command_line


def main() -> int:
    try:
        command_line = parse_command_line(sys.argv[1:])
    except SettingsError as error:
        print(f"latchkey: {error}", file=sys.stderr)
        return error.exit_status
    return run(command_line)


if __name__ == "__main__":
    sys.exit(main())
