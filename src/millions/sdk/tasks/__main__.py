"""Starts `millions.sdk.tasks.command`."""

import sys

from millions.sdk.tasks.command import main

if __name__ == "__main__":
    sys.exit(main())
