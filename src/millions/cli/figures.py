"""The figures of web servers: requests, errors and times, as each of them says at its own address.

Asks, bounded; what they mean is decided elsewhere.
"""

from __future__ import annotations

import re
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from typing import TYPE_CHECKING

from millions.reconcile import canary
from millions.reconcile.canary import Sample

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millions.runtime.status import UnitStatus

ANSWER_WITHIN_S = 2.0
OWN_ROUTES = ("/readyz", "/healthz")
"""What balancers and probes ask; it says nothing about what people do."""

LINE = re.compile(r"millions_(requests_total|request_seconds_bucket)\{(.*)\} (\S+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')
SERVER_ERROR = "5"


def sample(units: Iterable[UnitStatus]) -> Sample:
    """The figures of these units together; one that does not answer counts nothing."""
    total = Sample()
    for unit in units:
        with suppress(OSError, ValueError, HTTPException):  # it may die while it answers
            total += parsed(_scraped(unit.address))
    return total


def parsed(text: str) -> Sample:
    """Read the request counters and the histogram out of Prometheus' text."""
    requests = errors = 0
    cumulative: dict[float, int] = {}
    for name, labels, value in LINE.findall(text):
        known = dict(LABEL.findall(labels))
        if known.get("route") in OWN_ROUTES:
            continue
        count = int(float(value))
        if name == "requests_total":
            requests += count
            errors += count if known.get("status", "").startswith(SERVER_ERROR) else 0
        else:
            bound = float(known["le"])
            cumulative[bound] = cumulative.get(bound, 0) + count
    bounds_s, counts = canary.histogram(cumulative)
    return Sample(requests=requests, errors=errors, bounds_s=bounds_s, counts=counts)


def _scraped(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=ANSWER_WITHIN_S) as answer:
        text: bytes = answer.read()
    return text.decode()
