"""Which backups there are, which a moment needs, which may go: nothing needed is ever erased."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millions.backup import catalog
from millions.backup.catalog import DAY_S, Backup
from millions.errors import BackupError

if TYPE_CHECKING:
    from pathlib import Path


def made(kinds: str, *, apart_s: float = DAY_S) -> tuple[Backup, ...]:
    """Backups of these kinds, (f)ull or (i)ncremental, one each day."""
    found: list[Backup] = []
    for number, kind in enumerate(kinds):
        found.append(
            Backup(
                name=f"b{number:03d}",
                parent=found[-1].name if kind == "i" else "",
                began_s=number * apart_s,
                ended_s=number * apart_s + 60.0,
                bytes=1,
                first_wal=f"{number % 3 + 1:08X}{number:016X}",
            )
        )
    return tuple(found)


def test_a_backup_is_listed_once_it_is_complete(tmp_path: Path) -> None:
    for backup in made("fi"):
        (tmp_path / backup.name).mkdir()
    assert catalog.listed(tmp_path) == ()
    for backup in reversed(made("fi")):
        catalog.write(tmp_path, backup)
    assert catalog.listed(tmp_path) == made("fi")


def test_a_restore_begins_at_the_full_backup_and_takes_every_step() -> None:
    assert [each.name for each in catalog.chain(made("fifii"), "b004")] == ["b002", "b003", "b004"]


def test_a_chain_with_a_missing_part_is_refused() -> None:
    backups = made("fii")
    with pytest.raises(BackupError, match="b001, which it builds on"):
        catalog.chain((backups[0], backups[2]), "b002")


def test_the_backup_nearest_before_the_moment_is_chosen() -> None:
    backups = made("fif")
    assert catalog.chosen(backups, None) is backups[2]
    assert catalog.chosen(backups, backups[1].ended_s + 1.0) is backups[1]
    with pytest.raises(BackupError, match="younger"):
        catalog.chosen(backups, backups[0].ended_s - 1.0)
    with pytest.raises(BackupError, match="no backup yet"):
        catalog.chosen((), None)


@pytest.mark.parametrize(
    ("kinds", "every", "wanted"),
    [("", 7, "full"), ("f", 7, ""), ("f", 1, "full"), ("fii", 3, "full"), ("fi", 3, "")],
)
def test_every_so_many_backups_one_is_full(kinds: str, every: int, wanted: str) -> None:
    assert catalog.is_full_due(made(kinds), every) is bool(wanted)


@given(
    kinds=st.text("fi", max_size=40).map(lambda kinds: f"f{kinds}"),
    keep_days=st.integers(1, 30),
    later_s=st.floats(0, 40 * DAY_S),
)
def test_every_moment_that_is_kept_can_be_restored(
    kinds: str, keep_days: int, later_s: float
) -> None:
    backups = made(kinds)
    now_s = backups[-1].ended_s + later_s
    gone = catalog.superfluous(backups, now_s=now_s, keep_days=keep_days)
    kept = tuple(each for each in backups if each.name not in gone)
    horizon_s = now_s - keep_days * DAY_S
    if horizon_s >= backups[0].ended_s:
        at = catalog.chosen(kept, horizon_s)
        assert catalog.chain(kept, at.name)
        assert catalog.oldest_wal(kept)[8:] <= at.first_wal[8:]
    for each in kept:
        assert catalog.chain(kept, each.name)[0].parent == ""
    assert kept[-1] == backups[-1]


def test_what_is_older_than_the_days_kept_goes() -> None:
    backups = made("fiififi")
    gone = catalog.superfluous(backups, now_s=backups[-1].ended_s + DAY_S, keep_days=3)
    assert set(gone) == {"b000", "b001", "b002"}
    assert catalog.oldest_wal(backups[3:])[8:] == f"{3:016X}"
