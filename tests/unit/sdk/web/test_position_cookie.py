"""What a user has seen travels in a signed cookie, and only where there are replicas."""

import dataclasses
from pathlib import Path

import pytest

from millions.directory import Directory, Endpoint, Shard, WebPlace
from millions.sdk import position
from millions.sdk.position_cookie import NAME, PositionCookie
from millions.testing import EmbeddedPostgres, directory_for


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    place = EmbeddedPostgres(tmp_path, port=5432).place("nowhere")
    found = directory_for(place, tmp_path)
    replica = Endpoint(host="127.0.0.1", port=5433)
    shard = dataclasses.replace(place.shards[0], replicas=(replica,))
    return dataclasses.replace(found, database=dataclasses.replace(place, shards=(shard,)))


@pytest.fixture
async def cookie(directory: Directory) -> PositionCookie:
    opened = PositionCookie()
    await opened.open(directory)
    return opened


def visit(value: bytes | None = None) -> dict[str, object]:
    headers = [] if value is None else [(b"cookie", NAME + b"=" + value)]
    return {"headers": headers}


def given(headers: list[tuple[bytes, bytes]]) -> bytes:
    (header,) = headers
    return header[1].partition(b";")[0].removeprefix(NAME + b"=")


async def test_what_was_seen_in_one_request_is_known_in_the_next(cookie: PositionCookie) -> None:
    first = cookie.arrive(visit())
    assert first is not None
    seen = position.current.get()
    assert seen is not None
    seen.advance("s0", 123456789)
    value = given(first.headers())
    first.leave()
    second = cookie.arrive(visit(value))
    assert second is not None
    again = position.current.get()
    assert again is not None
    assert again.positions == {"s0": 123456789}
    assert second.headers() == [], "nothing new was seen, so no cookie is sent"
    second.leave()
    assert position.current.get() is None


class Browser:
    """Keeps cookies as browsers do: the last answer's holds."""

    def __init__(self, cookie: PositionCookie) -> None:
        self.cookie = cookie
        self.kept: dict[bytes, bytes] = {}

    def ask(self) -> dict[str, object]:
        pairs = b"; ".join(b"%b=%b" % each for each in self.kept.items())
        return {"headers": [(b"cookie", pairs)]}

    def take(self, headers: list[tuple[bytes, bytes]]) -> None:
        for _, said in headers:
            name, _, value = said.partition(b";")[0].partition(b"=")
            if b"Max-Age=0" in said:
                self.kept.pop(name, None)
            else:
                self.kept[name] = value

    def answered(self, at: int, *, wrote: bool, asked: dict[str, object]) -> None:
        """Take the answer to what was asked, after which `at` was seen."""
        arrived = self.cookie.arrive(asked)
        seen = position.current.get()
        assert arrived is not None
        assert seen is not None
        seen.advance("s0", at)
        seen.wrote = wrote
        self.take(arrived.headers())
        arrived.leave()

    def has_seen(self) -> int:
        arrived = self.cookie.arrive(self.ask())
        seen = position.current.get()
        assert arrived is not None
        assert seen is not None
        arrived.leave()
        return seen.positions["s0"]


async def test_a_slow_answer_takes_nothing_back_of_what_was_written_meanwhile(
    cookie: PositionCookie,
) -> None:
    browser = Browser(cookie)
    browser.answered(100, wrote=False, asked=browser.ask())
    slow = browser.ask()
    browser.answered(300, wrote=True, asked=browser.ask())
    browser.answered(200, wrote=False, asked=slow)
    assert browser.has_seen() == 300


async def test_of_two_who_write_at_once_the_later_place_counts(cookie: PositionCookie) -> None:
    browser = Browser(cookie)
    slow = browser.ask()
    browser.answered(300, wrote=True, asked=browser.ask())
    browser.answered(200, wrote=True, asked=slow)
    assert browser.has_seen() == 300


async def test_who_writes_again_and_again_carries_one_cookie_of_it(cookie: PositionCookie) -> None:
    browser = Browser(cookie)
    for at in range(1, 100):
        browser.answered(at, wrote=True, asked=browser.ask())
        assert len(browser.kept) == 1
    assert browser.has_seen() == 99


async def test_a_cookie_of_another_name_is_not_ours(cookie: PositionCookie) -> None:
    arrived = cookie.arrive({"headers": [(b"cookie", NAME + b"_x=1; " + NAME + b"_wrote7=1")]})
    seen = position.current.get()
    assert arrived is not None
    assert seen is not None
    assert not seen.unsure
    arrived.leave()


async def test_a_forged_cookie_counts_as_none(cookie: PositionCookie) -> None:
    first = cookie.arrive(visit())
    assert first is not None
    seen = position.current.get()
    assert seen is not None
    seen.advance("s0", 5)
    value = given(first.headers())
    first.leave()
    for forged in (b"s0=zzzzzz", value[:-1], b"", b"\xe9", value.replace(b".", b"")):
        arrived = cookie.arrive(visit(forged))
        assert arrived is not None
        found = position.current.get()
        assert found is not None
        assert found.positions == {}
        assert found.unsure == {"s0"}, "they may have written: the primary answers"
        assert given(arrived.headers()) != forged
        arrived.leave()


async def test_who_proves_to_be_somebody_and_keeps_no_cookies_is_answered_by_the_primary(
    cookie: PositionCookie,
) -> None:
    arrived = cookie.arrive({"headers": [(b"authorization", b"Bearer 1")]})
    assert arrived is not None
    found = position.current.get()
    assert found is not None
    assert found.unsure == {"s0"}
    arrived.leave()


@pytest.mark.parametrize("control", [b"public, max-age=60", b"s-maxage=60"])
async def test_an_answer_for_shared_caches_carries_no_cookie(
    cookie: PositionCookie, control: bytes
) -> None:
    arrived = cookie.arrive(visit())
    assert arrived is not None
    seen = position.current.get()
    assert seen is not None
    seen.advance("s0", 5)
    assert arrived.headers([(b"Cache-Control", control)]) == []
    assert given(arrived.headers([(b"cache-control", b"private")]))
    arrived.leave()


async def test_it_comes_and_goes_with_the_replicas(
    cookie: PositionCookie, directory: Directory
) -> None:
    alone = dataclasses.replace(directory.database.shards[0], replicas=())
    place = dataclasses.replace(directory.database, shards=(alone,))
    cookie.follow(dataclasses.replace(directory, database=place))
    assert cookie.arrive(visit()) is None
    cookie.follow(directory)
    arrived = cookie.arrive(visit())
    assert arrived is not None
    arrived.leave()


async def test_it_is_sent_over_https_only_where_clients_use_it(directory: Directory) -> None:
    secure = PositionCookie()
    await secure.open(dataclasses.replace(directory, web=WebPlace(secure=True)))
    assert secure.header("s0=1")[1].endswith(b"; HttpOnly; SameSite=Lax; Secure")


async def test_without_replicas_there_is_no_cookie(directory: Directory) -> None:
    alone = Shard(name="s0", primary=Endpoint(host="127.0.0.1", port=5432))
    place = dataclasses.replace(directory.database, shards=(alone,))
    cookie = PositionCookie()
    await cookie.open(dataclasses.replace(directory, database=place))
    assert cookie.arrive(visit(b"anything")) is None
