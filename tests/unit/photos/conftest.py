"""The example application is importable, as it is inside its stack."""

import sys
from pathlib import Path

FOLDER = str(Path(__file__).parents[3] / "examples" / "photos")
if FOLDER not in sys.path:
    sys.path.insert(0, FOLDER)
