"""The report must show what the verdict holds, need nothing else, and let no text become markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import orjson
from histories import judged, members, operation, read, write
from rich.console import Console

from millions.drill.report.document import document
from millions.drill.report.page import page
from millions.drill.report.words import words

EVENTS = (
    {"event": "kill", "id": "1", "aim": "web.1", "at": 3.0, "done": 3.1},
    {"event": "recovered", "ends": "1", "at": 4.0},
)
LOST = (write(1, 0, 1), write(2, 2, 3), read(1, 4, 5, user="v"))


def busy() -> list[dict[str, Any]]:
    views = [operation("view", None, at / 20, at / 20 + 0.02) for at in range(200)]
    return [*views, operation("view", None, 3.0, 3.1, outcome="failed", status="<b>reset</b>")]


def test_the_page_shows_promises_findings_and_the_time_line() -> None:
    text = page(judged({"history": 1, "drill": "kill-web"}, *busy(), *LOST, *EVENTS))
    for said in ("kill-web", "broken", "lost acknowledged writes", "kill web.1", "<svg", "G1"):
        assert said in text


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing() -> None:
    text = page(judged(*busy(), *EVENTS))
    assert not re.search(r"<script|<link|<img|https?://|@import|url\(", text)


def test_what_servers_said_does_not_become_markup() -> None:
    text = page(judged(*busy(), *EVENTS))
    assert "<b>reset</b>" not in text
    assert "&lt;b&gt;reset&lt;/b&gt;" in text


def test_every_element_of_the_page_is_closed() -> None:
    class Balance(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002  # its signature
            if tag != "meta":
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            """Closed where it was opened."""

    balance = Balance()
    balance.feed(page(judged(*busy(), *LOST, *EVENTS), ["a step failed"]))
    assert balance.open == []


def test_a_history_that_is_too_short_to_draw_is_told_in_words() -> None:
    assert "Too short to draw" in page(judged())


def test_the_document_is_json_and_says_the_same() -> None:
    found = orjson.loads(orjson.dumps(document(judged(*busy(), *LOST, *EVENTS))))
    assert found["promises"]["G1"]["held"] is False
    assert found["findings"][0]["count"] == 1
    assert found["events"][0]["aim"] == "web.1"
    assert len(found["line"]) > 50


def test_the_words_name_each_promise_and_what_broke_it() -> None:
    console = Console(width=200, file=None, record=True, quiet=True)
    with console.capture() as captured:
        console.quiet = False
        console.print(words(judged(*busy(), *LOST, members([], 5, 6), *EVENTS)))
    said = captured.get()
    for each in ("G1", "broken", "lost acknowledged writes", "line", "kill web.1", "allowed"):
        assert each in said
