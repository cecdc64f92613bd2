"""`python -m photos seed …`: commands for who runs the application."""

import asyncio
import sys

from photos import seed

COMMANDS = {"seed": seed.main}


def main() -> None:
    """Run one command."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in COMMANDS:
        sys.exit(f"cannot run {name or 'nothing'!r}: there is {', '.join(COMMANDS)}")
    asyncio.run(COMMANDS[name](sys.argv[2:]))


if __name__ == "__main__":
    main()
