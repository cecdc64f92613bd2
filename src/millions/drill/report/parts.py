"""Parts of a report's page that every report has: promises, findings, failures, kinds, tables.

HTML as text; whatever came from elsewhere is escaped here.
"""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from millions.drill.checker import PROMISES
from millions.drill.report.words import milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millions.drill.checker import Verdict

HELD = {True: ("good", "holds"), False: ("bad", "broken"), None: ("none", "not tried")}
MAY_FAIL = {
    "none": "No request may fail.",
    "unrepeatable": "Only requests in flight at the crash that may not be repeated may fail.",
    "in-flight": "Only requests in flight at the crash may fail.",
    "any": "Failures are told, not judged.",
}


def whole(title: str, kind: str, inside: str) -> str:
    """Answer the whole page around what is inside; `kind` says what it is a report of."""
    style = (files("millions.drill.report") / "page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} · Millions {kind}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{inside}</main>\n</body>\n</html>\n"
    )


def head(title: str, said: str, note: str, *, well: bool) -> str:
    """Answer the title with the verdict beside it, and what it is about."""
    return (
        f'<div class="head"><h1>{escape(title)}</h1>'
        f'<span class="pill {"good" if well else "bad"}">{escape(said)}</span></div>'
        f'<p class="soft">{escape(note)}</p>'
    )


def cards(found: Sequence[tuple[str, str]]) -> str:
    """Answer figures with what each of them is."""
    inner = "".join(f'<div class="card"><b>{a}</b><span>{b}</span></div>' for a, b in found)
    return f'<div class="cards">{inner}</div>'


def promises(verdict: Verdict) -> str:
    """Answer which promises hold."""
    rows: list[str] = []
    for name, held in verdict.held.items():
        style, said = HELD[held]
        rows.append(
            f'<div class="promise"><strong>{name}</strong>'
            f'<span class="pill {style}">{said}</span>'
            f'<span class="says">{escape(PROMISES.get(name, ""))}</span></div>'
        )
    note = MAY_FAIL.get(verdict.header.may_fail, "")
    return f'<h2>Promises</h2><div class="box">{"".join(rows)}</div><p class="soft">{note}</p>'


def findings(verdict: Verdict) -> str:
    """Answer what is broken, with the first cases of each."""
    if not verdict.findings:
        return ""
    inner = "".join(
        f'<div class="finding"><strong>{each.promise}: {each.count:,} {escape(each.title)}</strong>'
        + "".join(f"<code>{escape(example)}</code>" for example in each.examples)
        + "</div>"
        for each in verdict.findings
    )
    return f'<h2>What is broken</h2><div class="box">{inner}</div>'


def failures(verdict: Verdict) -> str:
    """Answer the failed requests by sort."""
    rows = [
        (
            escape(each.kind),
            escape(each.outcome),
            escape(each.status or "no answer"),
            "allowed" if each.repeatable else "not allowed",
            f"{each.in_flight:,}",
            f"{each.others:,}",
        )
        for each in verdict.failures
    ]
    heads = ("kind", "outcome", "answer", "a repeat was", "in flight at a crash", "else")
    return table("Failed and unknown", heads, rows)


def kinds(verdict: Verdict) -> str:
    """Answer how many of each kind were answered, and their longest gaps."""
    rows = [
        (
            escape(each.kind),
            f"{verdict.kinds.get(each.kind, 0):,}",
            milliseconds(each.seconds),
            f"{each.at:.2f} s",
        )
        for each in verdict.gaps
    ]
    heads = ("kind", "good answers", "longest gap", "from")
    return table("Kinds of operations", heads, rows)


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Answer a table whose cells are HTML; nothing without rows."""
    if not rows:
        return ""
    top = "".join(f"<th>{each}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{each}</td>" for each in row) + "</tr>" for row in rows)
    return f'<h2>{title}</h2><div class="box scroll"><table><tr>{top}</tr>{body}</table></div>'
