"""What the user's own tests import: real servers in small, and waiting within bounds.

It is a pytest plugin too: where Millions is installed, so are the fixtures of
`millions.testing.fixtures`.
"""

from millions.testing.eventually import eventually
from millions.testing.fixtures import (
    directory_for,
    millions_directory,
    millions_folder,
    millions_nouns,
    millions_postgres,
    millions_prepare,
    millions_template,
    millions_templates,
)
from millions.testing.postgres import EmbeddedPostgres
from millions.testing.streaming import StreamingPostgres

__all__ = [
    "EmbeddedPostgres",
    "StreamingPostgres",
    "directory_for",
    "eventually",
    "millions_directory",
    "millions_folder",
    "millions_nouns",
    "millions_postgres",
    "millions_prepare",
    "millions_template",
    "millions_templates",
]
