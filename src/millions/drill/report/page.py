"""The report of a drill: one HTML file that needs nothing else, with a picture of the time line.

It shows what the verdict holds and judges nothing.
"""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from millions.drill.checker import PROMISES
from millions.drill.report.picture import picture
from millions.drill.report.words import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from millions.drill.checker import Verdict
    from millions.drill.checker.timing import Latency

HELD = {True: ("good", "holds"), False: ("bad", "broken"), None: ("none", "not tried")}
MAY_FAIL = {
    "none": "No request may fail.",
    "unrepeatable": "Only requests in flight at the crash that may not be repeated may fail.",
    "in-flight": "Only requests in flight at the crash may fail.",
    "any": "Failures are told, not judged.",
}


def page(verdict: Verdict, problems: Sequence[str] = ()) -> str:
    """The whole page."""
    style = (files("millions.drill.report") / "page.css").read_text(encoding="utf-8")
    title = escape(verdict.header.drill or "History")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title} · Millions drill</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{_head(verdict, title, problems)}{_numbers(verdict)}"
        f"{_promises(verdict)}{_problems(problems)}{_findings(verdict)}"
        f'<h2>Over time</h2><div class="box picture">{picture(verdict)}</div>'
        f"{_around(verdict)}{_failures(verdict)}{_kinds(verdict)}"
        "<footer>Times are seconds since the drill began. Every answer is a line of history.jsonl; "
        "<code>millions check</code> judges it again.</footer>\n</main>\n</body>\n</html>\n"
    )


def _head(verdict: Verdict, title: str, problems: Sequence[str]) -> str:
    well = verdict.well and not problems
    said = "all promises hold" if well else "not as promised" if verdict.well else "broken"
    return (
        f'<div class="head"><h1>{title}</h1>'
        f'<span class="pill {"good" if well else "bad"}">{said}</span></div>'
        f'<p class="soft">{escape(verdict.header.note)}</p>'
    )


def _numbers(verdict: Verdict) -> str:
    failed = sum(each.in_flight + each.others for each in verdict.failures)
    rate = verdict.operations / verdict.seconds if verdict.seconds else 0.0
    gap = verdict.longest_gap
    lost = sum(
        each.count for each in verdict.findings if each.promise == "G1" and "lost" in each.title
    )
    cards = (
        (f"{verdict.operations:,}", f"operations in {verdict.seconds:.0f} s, {rate:,.0f} a second"),
        (f"{lost:,}", "acknowledged writes lost"),
        (f"{failed:,}", f"failed or unknown, {verdict.unknown:,} of them unknown"),
        (milliseconds(gap.seconds) if gap else "-", "longest time without a good answer"),
        (milliseconds(verdict.latency.p99), f"p99; p50 {milliseconds(verdict.latency.p50)}"),
    )
    inner = "".join(f'<div class="card"><b>{a}</b><span>{b}</span></div>' for a, b in cards)
    return f'<div class="cards">{inner}</div>'


def _promises(verdict: Verdict) -> str:
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


def _problems(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    inner = "".join(f'<div class="finding"><code>{escape(each)}</code></div>' for each in problems)
    return f'<h2>What could not be done</h2><div class="box">{inner}</div>'


def _findings(verdict: Verdict) -> str:
    if not verdict.findings:
        return ""
    inner = "".join(
        f'<div class="finding"><strong>{each.promise}: {each.count:,} {escape(each.title)}</strong>'
        + "".join(f"<code>{escape(example)}</code>" for example in each.examples)
        + "</div>"
        for each in verdict.findings
    )
    return f'<h2>What is broken</h2><div class="box">{inner}</div>'


def _around(verdict: Verdict) -> str:
    rows = [
        (
            escape(f"{each.event} {each.aim}"),
            f"{each.at:.2f} s",
            milliseconds(each.until - each.at),
            _three((each.before, each.during, each.after), "p50"),
            _three((each.before, each.during, each.after), "p99"),
            _three((each.before, each.during, each.after), "worst"),
        )
        for each in verdict.around
    ]
    heads = ("event", "at", "all ready after", "p50 before / during / after", "p99", "worst")
    return _table("Events", heads, rows)


def _failures(verdict: Verdict) -> str:
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
    return _table("Failed and unknown", heads, rows)


def _kinds(verdict: Verdict) -> str:
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
    return _table("Kinds of operations", heads, rows)


def _three(three: Iterable[Latency], share: str) -> str:
    return " / ".join(milliseconds(getattr(x, share)) if x.count else "-" for x in three)


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    top = "".join(f"<th>{each}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{each}</td>" for each in row) + "</tr>" for row in rows)
    return f'<h2>{title}</h2><div class="box scroll"><table><tr>{top}</tr>{body}</table></div>'
