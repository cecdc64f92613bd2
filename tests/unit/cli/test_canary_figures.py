"""The figures of a web server are read as it writes them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from millions.cli.figures import parsed
from millions.sdk.metrics_requests import RequestMetrics


def text(*answers: tuple[str, int, float]) -> str:
    """What a process says that answered so: route, status, seconds."""
    metrics, registry = RequestMetrics(), CollectorRegistry()
    registry.register(metrics)
    for route, status, seconds in answers:
        metrics.note({"method": "GET", "path": route, "millions.route": route}, status, seconds)
    return generate_latest(registry).decode()


def test_requests_errors_and_times_are_counted_over_all_routes() -> None:
    found = parsed(
        text(("/a", 200, 0.003), ("/a", 500, 0.003), ("/b", 503, 0.2), ("/b", 404, 0.003))
    )
    assert (found.requests, found.errors) == (4, 2)
    assert sum(found.counts) == 4
    assert 0.1 < found.latency_s(1.0) <= 0.25
    assert found.latency_s(0.5) <= 0.005


def test_what_probes_ask_does_not_count() -> None:
    found = parsed(text(*[("/readyz", 200, 0.001)] * 50, ("/healthz", 200, 0.001)))
    assert found.requests == 0


def test_a_process_that_was_not_asked_yet_has_no_figures() -> None:
    found = parsed(text())
    assert (found.requests, found.errors, found.latency_s(0.9)) == (0, 0, 0.0)


def test_labels_with_braces_and_quotes_do_not_confuse_it() -> None:
    found = parsed(text(('/p/{id}/"x"', 500, 0.001), ("/p/{a} b", 200, 0.001)))
    assert (found.requests, found.errors) == (2, 1)
