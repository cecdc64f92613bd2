"""Counts requests by method, route and status, and how long they took.

Its cost per request is two dictionary look-ups; Prometheus' text is made when somebody asks. The
number of routes is bounded, so that no client can make a process count without end.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of the duration histogram, in seconds."""

ROUTES_MAX = 300
"""Distinct route templates; the rest counts as OTHER."""

SEGMENTS_MAX = 50
"""Distinct first path segments, used where the framework names no route."""

OTHER = "(other)"
UNMATCHED = "(unmatched)"
"""Answered with 404 without a route: what scanners ask for must not become labels."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NOT_FOUND = 404

_Key = tuple[str, str, int]
"""Method, route, status."""


class _Row:
    __slots__ = ("buckets", "total_s")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.total_s = 0.0


class RequestMetrics:
    """A Prometheus collector of what `note` was told. For one event loop's thread."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._rows: dict[_Key, _Row] = {}
        self._routes: set[str] = set()
        self._segments: set[str] = set()

    def note(self, scope: dict[str, Any], status: int, seconds: float) -> str:
        """Count one answered request; answer the route that it was counted under."""
        route = self._route(scope, status)
        method = scope["method"]
        key = (method if method in METHODS else OTHER, route, status)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Row()
        row.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        row.total_s += seconds
        return route

    def _route(self, scope: dict[str, Any], status: int) -> str:
        template = template_of(scope)
        if template is not None:
            return self._bounded(template, self._routes, ROUTES_MAX)
        if status == NOT_FOUND:
            return UNMATCHED
        segment = "/" + scope["path"][1:].partition("/")[0]
        return self._bounded(segment, self._segments, SEGMENTS_MAX)

    def _bounded(self, label: str, known: set[str], most: int) -> str:
        if label in known:
            return label
        if len(known) >= most:
            return OTHER
        known.add(label)
        return label

    def describe(self) -> Iterator[Metric]:
        """Name the metrics without values, as prometheus_client asks at registration."""
        yield CounterMetricFamily("millions_requests", "Requests answered.")

    def collect(self) -> Iterator[Metric]:
        """Make the metrics for Prometheus."""
        requests = CounterMetricFamily(
            "millions_requests", "Requests answered.", labels=("method", "route", "status")
        )
        errors = CounterMetricFamily(
            "millions_request_errors", "Requests answered with 5xx.", labels=("method", "route")
        )
        seconds = HistogramMetricFamily(
            "millions_request_seconds",
            "From the first byte to the last.",
            labels=("method", "route"),
        )
        for (method, route), rows in self._by_route().items():
            failed = 0
            for status, row in rows:
                count = sum(row.buckets)
                requests.add_metric((method, route, str(status)), count)
                failed += count if status >= 500 else 0  # noqa: PLR2004  # 5xx
            errors.add_metric((method, route), failed)
            summed = [sum(each) for each in zip(*(row.buckets for _, row in rows), strict=True)]
            bounds = [*(str(each) for each in BUCKETS_S), "+Inf"]
            buckets = list(zip(bounds, accumulate(map(float, summed)), strict=True))
            seconds.add_metric((method, route), buckets, sum(row.total_s for _, row in rows))
        yield requests
        yield errors
        yield seconds
        yield GaugeMetricFamily(
            "millions_requests_in_flight", "Requests being answered now.", value=self.in_flight
        )

    def _by_route(self) -> dict[tuple[str, str], list[tuple[int, _Row]]]:
        found: dict[tuple[str, str], list[tuple[int, _Row]]] = {}
        for (method, route, status), row in self._rows.items():
            found.setdefault((method, route), []).append((status, row))
        return found


def template_of(scope: dict[str, Any]) -> str | None:
    """Answer the route's template as the framework left it in the scope, or None.

    Starlette and FastAPI leave a `route` with `path`, Litestar `path_template`; for Django see
    `millions.sdk.django`, for our own paths `millions.route`.
    """
    own = scope.get("millions.route")
    if own is not None:
        return str(own)
    path = getattr(scope.get("route"), "path", None)
    if path is None:
        path = scope.get("path_template")
    return None if path is None else str(path)
