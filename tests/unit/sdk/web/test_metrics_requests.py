"""Requests are counted by route, and nobody can make a process count without end."""

from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from millions.sdk.metrics_requests import OTHER, ROUTES_MAX, SEGMENTS_MAX, UNMATCHED, RequestMetrics


def scope(path: str = "/", **more: Any) -> dict[str, Any]:
    return {"method": "GET", "path": path, **more}


def text(metrics: RequestMetrics) -> str:
    registry = CollectorRegistry()
    registry.register(metrics)
    return generate_latest(registry).decode()


def test_a_route_is_named_as_its_framework_names_it() -> None:
    metrics = RequestMetrics()
    assert metrics.note(scope("/u/7", route=SimpleNamespace(path="/u/{id}")), 200, 0.1) == "/u/{id}"
    assert metrics.note(scope("/u/7", path_template="/u/{id}"), 200, 0.1) == "/u/{id}"
    assert metrics.note(scope("/u/7", **{"millions.route": "/u/<id>"}), 200, 0.1) == "/u/<id>"
    assert metrics.note(scope("/u/7"), 200, 0.1) == "/u"


def test_scanners_make_one_label() -> None:
    metrics = RequestMetrics()
    assert {metrics.note(scope(f"/{n}.php"), 404, 0.1) for n in range(1000)} == {UNMATCHED}


def test_the_number_of_labels_is_bounded() -> None:
    metrics = RequestMetrics()
    raw = [metrics.note(scope(f"/{n}/x"), 200, 0.1) for n in range(500)]
    assert len(set(raw)) == SEGMENTS_MAX + 1
    assert raw[-1] == OTHER
    named = [metrics.note(scope(path_template=f"/{n}"), 200, 0.1) for n in range(1000)]
    assert len(set(named)) <= ROUTES_MAX + 1
    metrics.note({"method": "BREW", "path": "/"}, 200, 0.1)
    assert 'method="BREW"' not in text(metrics)


def test_rate_errors_and_duration_are_shown_by_route() -> None:
    metrics = RequestMetrics()
    for status, seconds in ((200, 0.004), (200, 0.3), (503, 0.004), (500, 40.0)):
        metrics.note(scope(path_template="/feed"), status, seconds)
    shown = text(metrics)
    assert 'millions_requests_total{method="GET",route="/feed",status="200"} 2.0' in shown
    assert 'millions_request_errors_total{method="GET",route="/feed"} 2.0' in shown
    assert 'millions_request_seconds_bucket{le="0.005",method="GET",route="/feed"} 2.0' in shown
    assert 'millions_request_seconds_bucket{le="+Inf",method="GET",route="/feed"} 4.0' in shown
    assert 'millions_request_seconds_count{method="GET",route="/feed"} 4.0' in shown


def test_a_duration_on_the_bound_falls_below_it() -> None:
    metrics = RequestMetrics()
    metrics.note(scope(path_template="/x"), 200, 0.005)
    assert 'bucket{le="0.005",method="GET",route="/x"} 1.0' in text(metrics)
    assert 'bucket{le="0.0025",method="GET",route="/x"} 0.0' in text(metrics)
