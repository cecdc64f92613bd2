"""Whether a write survived a change of leader follows from where each term ended."""

from __future__ import annotations

import pytest

from millions.sdk.store.servers.asking import kept
from millions.sdk.store.servers.commits import Done


@pytest.mark.parametrize(
    ("terms", "term", "sequence", "expected"),
    [
        pytest.param({1: 0, 2: 50}, 1, 50, True, id="the last one before the next term"),
        pytest.param({1: 0, 2: 50}, 1, 51, False, id="one more than the next leader had"),
        pytest.param({1: 0, 2: 50, 5: 90}, 2, 90, True, id="terms in between had no leader"),
        pytest.param({1: 0, 2: 50, 5: 90}, 2, 91, False, id="beyond the end of its term"),
        pytest.param({1: 0, 3: 60}, 2, 51, False, id="its term is not in the history at all"),
        pytest.param({1: 0, 2: 50}, 2, 99, True, id="the term goes on"),
    ],
)
def test_a_write_is_kept_if_its_term_reached_it(terms, term, sequence, expected) -> None:  # type: ignore[no-untyped-def]
    assert kept(terms, Done(term=term, sequence=sequence, result=None)) is expected
