"""The models of the guide on sharding are such as the check accepts."""

from __future__ import annotations

import re
from pathlib import Path

from millions.sdk.sharding_check import check

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "sharding-from-the-first-day.md"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def test_the_models_of_the_guide_can_be_sharded(tmp_path, monkeypatch):
    blocks = BLOCK.findall(GUIDE.read_text(encoding="utf-8"))
    models = [block for block in blocks if "__tablename__" in block]
    assert len(models) == 2
    module = tmp_path / "guide_models.py"
    module.write_text("\n".join(models), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import guide_models  # noqa: PLC0415  # written a line ago

    assert {table.name for table in guide_models.Base.metadata.sorted_tables} == {
        "users",
        "photos",
        "countries",
        "names",
    }
    check(guide_models.Base.metadata)
