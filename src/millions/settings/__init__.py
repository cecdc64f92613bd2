"""Settings: one declaration each, from which parser, errors, example and reference page come.

Pure: text in, tables out. It names no tier; each tier declares the settings of its own table.
"""

from millions.settings.declaration import Declared, Table, declared, setting

__all__ = ["Declared", "Table", "declared", "setting"]
