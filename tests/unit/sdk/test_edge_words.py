"""What `edge` says in headers and in purges, and what it refuses to say."""

from __future__ import annotations

import django.http
import litestar
import pytest
import starlette.responses
from django.conf import settings

from millions.directory import EdgePlace, Endpoint
from millions.errors import SdkError
from millions.sdk import edge_purging as purging
from millions.sdk.edge import Edge
from millions.sdk.nouns import tasks

KEPT = {
    "Cache-Control": "public, no-cache",
    "CDN-Cache-Control": "max-age=60",
    "Surrogate-Key": "user:7 feed",
}


@pytest.fixture
def edge() -> Edge:
    """One that knows of an edge."""
    made = Edge.__new__(Edge)
    made._place = EdgePlace(servers=(Endpoint(host="127.0.0.1", port=1),))
    return made


def _django() -> django.http.HttpResponse:
    if not settings.configured:
        settings.configure()
    return django.http.HttpResponse(b"")


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(starlette.responses.Response, id="starlette and fastapi"),
        pytest.param(lambda: litestar.Response(""), id="litestar"),
        pytest.param(_django, id="django"),
    ],
)
def test_a_response_of_each_framework_is_marked(edge: Edge, make: object) -> None:
    response = edge.cache(make(), ttl_s=60, tags=["user:7", "feed", "user:7"])  # type: ignore[operator]
    assert {name: response.headers[name] for name in KEPT} == KEPT


def test_what_may_be_given_too_old_is_said(edge: Edge) -> None:
    said = edge.headers(ttl_s=5, browser_s=3, revalidate_s=0, stale_s=60)
    assert said == {
        "Cache-Control": "public, max-age=3",
        "CDN-Cache-Control": "max-age=5, stale-while-revalidate=0, stale-if-error=60",
    }


def test_without_edges_nothing_is_said_to_them(edge: Edge) -> None:
    edge._place = EdgePlace()
    assert edge.headers(ttl_s=60, tags=["a"]) == {"Cache-Control": "public, no-cache"}


@pytest.mark.parametrize(
    ("tag", "key"),
    [
        ("user:7", "user:7"),
        ("two words", "two%20words"),
        ("a,b", "a%2Cb"),
        ("|all", "%7Call"),
        ("é\n", "%C3%A9%0A"),
        ("100%", "100%25"),
    ],
)
def test_a_tag_is_one_word_whatever_is_in_it(tag: str, key: str) -> None:
    assert purging.tag_key(tag) == key


@pytest.mark.parametrize("tag", ["", "x" * 257])
def test_a_tag_that_cannot_be_one_is_refused(edge: Edge, tag: str) -> None:
    with pytest.raises(SdkError, match="use the tag"):
        edge.headers(ttl_s=1, tags=[tag])


def test_a_name_that_no_tag_can_be_is_not_purged() -> None:
    assert purging.known_keys(["a b", "x" * 300, ""]) == ["a%20b"]


def test_more_tags_than_a_header_holds_are_refused(edge: Edge) -> None:
    with pytest.raises(SdkError, match="let edges keep"):
        edge.headers(ttl_s=1, tags=[f"photo:{number:09}" for number in range(2000)])


@pytest.mark.parametrize("values", [{"ttl_s": -1}, {"ttl_s": 1, "browser_s": 10**9}])
def test_times_out_of_bounds_are_refused(edge: Edge, values: dict[str, int]) -> None:
    with pytest.raises(SdkError, match="let edges keep"):
        edge.headers(**values)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("/photos/7", "|path:/photos/7"),
        ("https://photos.example/photos/7?page=2#x", "|path:/photos/7"),
        ("/photos/7?page=2", "|path:/photos/7"),
        ("/é/a,b c", "|path:/%C3%A9/a%2Cb%20c"),
        ("/%C3%A9", "|path:/%C3%A9"),
    ],
)
def test_a_url_stands_for_its_path(url: str, key: str) -> None:
    assert purging.path_key(url) == key


@pytest.mark.parametrize("url", ["photos/7", "", "https://photos.example"])
def test_what_is_no_path_is_refused(url: str) -> None:
    with pytest.raises(SdkError, match="purge"):
        purging.path_key(url)


def test_a_network_is_told_in_its_words() -> None:
    keys = ["user:7", purging.path_key("/a"), "feed"]
    assert purging._wanted("https://cdn.example", keys) == {
        "files": ["https://cdn.example/a"],
        "tags": ["user:7", "feed"],
    }
    assert purging._wanted("", ["a", purging.ALL]) == {"purge_everything": True}


def test_many_keys_travel_in_portions() -> None:
    keys = [f"photo:{number}" for number in range(3000)]
    portions = purging._portions(keys)
    assert " ".join(portions).split(" ") == keys
    assert all(len(each) <= purging.KEYS_BYTES_MAX + 20 for each in portions)
    assert purging._portions([]) == []


def test_the_purge_is_a_task_that_workers_know() -> None:
    assert "millions.purge" in tasks._registry.tasks
