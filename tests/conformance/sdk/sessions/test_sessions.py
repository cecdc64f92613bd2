import asyncio
import dataclasses

import pytest

from millions.errors import ConflictError, SdkError, StateError, UnavailableError
from millions.sdk.sessions import Lifetime, Sessions
from millions.sdk.store import Store
from millions.testing import eventually


async def shown(visitor):
    return (await visitor.get("/")).json()


async def test_what_a_session_holds_is_there_at_the_next_request(site):
    visitor = site.visitor()
    await visitor.get("/change?colour=red")
    assert await shown(visitor) == {"user": None, "data": {"colour": "red"}}


async def test_two_visitors_have_two_sessions(site):
    first, second = site.visitor(), site.visitor()
    await first.get("/change?colour=red")
    assert await shown(second) == {"user": None, "data": {}}


async def test_the_cookie_holds_nothing_but_a_signed_id_and_is_out_of_reach_of_scripts(site):
    answer = await site.visitor().get("/change?colour=red")
    header = answer.headers["set-cookie"]
    assert "colour" not in header
    assert "red" not in header
    assert header.startswith("millions_session=")
    assert {"Path=/", "HttpOnly", "SameSite=Lax"} <= set(header.split("; "))
    assert "Secure" not in header
    assert answer.headers["cache-control"] == "private, no-store"
    assert "Cookie" in answer.headers["vary"]


async def test_where_clients_use_https_the_cookie_is_secure_and_bound_to_the_host(
    store, sessions_directory
):
    secure = Sessions(store)
    place = dataclasses.replace(sessions_directory.web, secure=True)
    await secure.open(dataclasses.replace(sessions_directory, web=place))
    header = secure.cookie.given("id", 60).decode()
    assert header.startswith("__Host-millions_session=")
    assert header.endswith("; Secure")
    assert "Domain" not in header


async def test_a_request_that_never_touches_its_session_costs_no_query(site, store):
    visitor = site.visitor()
    await visitor.get("/login?user=7")
    store.asked = 0
    answer = await visitor.get("/untouched")
    await visitor.get("/form")
    assert store.asked == 0
    assert "set-cookie" not in answer.headers
    assert "vary" not in answer.headers


async def test_reading_a_session_writes_nothing(site, store):
    visitor = site.visitor()
    await visitor.get("/change?colour=red")
    store.asked = 0
    answer = await visitor.get("/")
    assert store.asked == 1
    assert "set-cookie" not in answer.headers


async def test_a_visitor_without_a_session_gets_none_by_looking(site, store):
    answer = await site.visitor().get("/")
    assert "set-cookie" not in answer.headers
    assert store.asked == 0


async def test_login_changes_the_id_and_the_former_one_is_worth_nothing(site):
    visitor = site.visitor()
    await visitor.get("/change?cart=book")
    former = visitor.cookies[site.cookie]
    await visitor.get("/login?user=7")
    assert visitor.cookies[site.cookie] != former
    assert await shown(visitor) == {"user": "7", "data": {"cart": "book"}}
    assert await shown(site.visitor(cookies={site.cookie: former})) == {"user": None, "data": {}}


async def test_a_planted_cookie_does_not_become_a_users_session(site):
    attacker, victim = site.visitor(), site.visitor()
    await attacker.get("/change?bait=1")
    victim.cookies.set(site.cookie, attacker.cookies[site.cookie])
    await victim.get("/login?user=victim")
    assert (await shown(attacker))["user"] is None


async def test_another_user_does_not_inherit_what_the_session_held(site):
    visitor = site.visitor()
    await visitor.get("/login?user=7")
    await visitor.get("/change?secret=of-seven")
    await visitor.get("/login?user=8")
    assert await shown(visitor) == {"user": "8", "data": {}}


async def test_logout_ends_the_session_on_the_server_too(site):
    visitor = site.visitor()
    await visitor.get("/login?user=7")
    stolen = visitor.cookies[site.cookie]
    answer = await visitor.get("/logout")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert answer.headers["cache-control"] == "private, no-store"
    assert site.cookie not in visitor.cookies
    assert (await shown(site.visitor(cookies={site.cookie: stolen})))["user"] is None


async def test_revoking_a_user_ends_every_session_of_that_user_and_no_other(site, sessions):
    devices = [site.visitor() for _ in range(3)]
    for device in devices:
        await device.get("/login?user=7")
    other = site.visitor()
    await other.get("/login?user=77")
    assert await sessions.revoke_user(7) == 3
    assert [(await shown(device))["user"] for device in devices] == [None] * 3
    assert (await shown(other))["user"] == "77"
    assert await sessions.revoke_user(7) == 0


async def test_a_request_under_way_does_not_bring_back_a_revoked_session(site, sessions):
    visitor = site.visitor()
    await visitor.get("/login?user=7")
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(b"cookie", f"{site.cookie}={visitor.cookies[site.cookie]}".encode())],
    }
    sent = []

    async def app(scope, receive, send):
        session = await sessions.of(scope)
        assert session.user == "7"
        await sessions.revoke_user(7)
        session["late"] = 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def send(message):
        sent.append(message)

    await sessions.wrap(app)(scope, None, send)
    assert sent[0]["status"] == 200
    assert await shown(visitor) == {"user": None, "data": {}}


async def test_a_users_oldest_sessions_end_when_there_are_too_many(site, sessions, clock):
    devices = [site.visitor() for _ in range(52)]
    for device in devices:
        clock.ahead_s += 1
        await device.get("/login?user=7")
    users = [(await shown(device))["user"] for device in devices]
    assert users == [None, None, *["7"] * 50]
    assert await sessions.revoke_user(7) == 50


async def test_requests_side_by_side_keep_each_others_changes(site):
    visitor = site.visitor()
    await visitor.get("/change?zero=0")
    cookies = dict(visitor.cookies)
    await asyncio.gather(
        *(site.visitor(cookies=cookies).get(f"/change?key{n}={n}") for n in range(6))
    )
    data = (await shown(visitor))["data"]
    assert data == {"zero": "0", **{f"key{n}": str(n) for n in range(6)}}


async def test_a_change_deep_inside_is_noticed_and_a_removed_key_is_gone(sessions, store):
    async def with_session(cookie, change):
        headers = [(b"cookie", cookie)] if cookie else []
        scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
        sent = []

        async def app(scope, receive, send):
            change(await sessions.of(scope))
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async def send(message):
            sent.append(message)

        await sessions.wrap(app)(scope, None, send)
        given = dict(sent[0]["headers"]).get(b"set-cookie")
        return given.split(b";")[0] if given else cookie

    cookie = await with_session(b"", lambda s: s.update(cart=["a"], colour="red"))
    await with_session(cookie, lambda s: s["cart"].append("b"))
    await with_session(cookie, lambda s: s.pop("colour"))
    seen = {}
    await with_session(cookie, seen.update)
    assert seen == {"cart": ["a", "b"]}


async def test_a_session_that_is_not_used_ends(site, sessions, clock):
    sessions.lifetime = Lifetime(idle_s=0.3, absolute_s=100)
    visitor = site.visitor()
    await visitor.get("/login?user=7")
    clock.stopped_at_s = clock()  # so that looking does not renew it

    async def is_over():
        return (await shown(visitor))["user"] is None

    await eventually(is_over, within_s=5)


async def test_a_session_in_use_is_renewed_now_and_then(site, sessions, store, clock):
    sessions.lifetime = Lifetime(idle_s=24 * 60, absolute_s=24 * 3600)
    visitor = site.visitor()
    await visitor.get("/login?user=7")
    store.asked = 0
    clock.ahead_s = 50
    await visitor.get("/")
    assert store.asked == 1
    clock.ahead_s = 70
    await visitor.get("/")
    assert store.asked == 3
    await visitor.get("/")
    assert store.asked == 4


async def test_a_session_ends_after_its_absolute_time_however_much_it_is_used(
    site, sessions, clock
):
    sessions.lifetime = Lifetime(idle_s=3600, absolute_s=7200)
    visitor = site.visitor()
    await visitor.get("/login?user=7")
    for _ in range(3):
        clock.ahead_s += 2000
        assert (await shown(visitor))["user"] == "7"
    clock.ahead_s += 2000
    assert (await shown(visitor))["user"] is None


FORGERIES = {
    "empty": "",
    "text": "7",
    "id without signature": "AAAAAAAAAABhYmM",
    "signed by another": "AAAAAAAAAABhYmM.qFEWVPs9yZ0S9XrKqXgLRVnEsZIWcqZvNnIhuFzNZ6E",
    "long": "x" * 9000,
    "not ascii": "\u00e9\u00ff.x",
    "dots": "....",
    "sql": "' OR 1=1 --",
}


@pytest.mark.parametrize("value", FORGERIES.values(), ids=FORGERIES)
async def test_a_forged_cookie_is_nobodys_and_asks_the_store_nothing(site, store, value):
    visitor = site.visitor()
    answer = await visitor.get("/", headers={"Cookie": f"{site.cookie}={value}".encode("latin-1")})
    assert answer.status_code == 200
    assert answer.json() == {"user": None, "data": {}}
    assert store.asked == 0


async def test_an_altered_cookie_is_nobodys(site):
    visitor = site.visitor()
    await visitor.get("/login?user=7")
    cookie = visitor.cookies[site.cookie]
    for place in range(0, len(cookie) - 1, 7):
        other = "A" if cookie[place] != "A" else "B"
        altered = cookie[:place] + other + cookie[place + 1 :]
        assert (await shown(site.visitor(cookies={site.cookie: altered})))["user"] is None


async def test_a_true_cookie_is_found_among_forged_ones(site):
    visitor = site.visitor()
    await visitor.get("/login?user=7")
    true = visitor.cookies[site.cookie]
    header = f"other=1; {site.cookie}=forged; {site.cookie}={true}"
    answer = await site.visitor().get("/", headers={"Cookie": header})
    assert answer.json()["user"] == "7"


async def test_a_change_after_the_response_started_is_an_error_not_a_loss(site, sessions):
    visitor = site.visitor()
    await visitor.get("/change?colour=red")

    async def app(scope, receive, send):
        session = await sessions.of(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        session["late"] = 1

    cookie = f"{site.cookie}={visitor.cookies[site.cookie]}".encode()
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"cookie", cookie)]}
    with pytest.raises(SdkError, match="response has started"):
        await sessions.wrap(app)(scope, _no_body, _ignore)
    assert await shown(visitor) == {"user": None, "data": {"colour": "red"}}


async def _no_body():
    return {"type": "http.request", "body": b"", "more_body": False}


async def _ignore(message):
    return None


async def test_a_value_that_json_cannot_hold_is_refused(sessions):
    async def app(scope, receive, send):
        (await sessions.of(scope))["when"] = object()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    with pytest.raises(SdkError, match="when"):
        await sessions.wrap(app)(
            {"type": "http", "method": "GET", "path": "/", "headers": []}, _no_body, _ignore
        )


async def test_a_store_that_fails_fails_the_request_and_lets_its_error_page_out(sessions, store):
    statuses = []

    async def app(scope, receive, send):
        (await sessions.of(scope))["colour"] = "red"
        await store.close()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        except UnavailableError:
            await send({"type": "http.response.start", "status": 503, "headers": []})

    async def send(message):
        statuses.append(message["status"])

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await sessions.wrap(app)(scope, _no_body, send)
    assert statuses == [503]


async def test_a_websocket_has_the_session_and_keeps_its_changes(site):
    visitor = site.visitor()
    await visitor.get("/login?user=7")
    sent = await websocket(site, visitor, origin=b"http://site.example")
    assert sent[0]["type"] == "websocket.accept"
    assert await shown(visitor) == {"user": "7", "data": {"socket": "seen"}}


async def test_a_websocket_from_another_site_is_refused(site):
    visitor = site.visitor()
    await visitor.get("/login?user=7")
    sent = await websocket(site, visitor, origin=b"http://evil.example")
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert await shown(visitor) == {"user": "7", "data": {}}


async def websocket(site, visitor, *, origin):
    cookie = f"{site.cookie}={visitor.cookies[site.cookie]}".encode()
    scope = {
        "type": "websocket",
        "path": "/socket",
        "query_string": b"",
        "headers": [(b"cookie", cookie), (b"origin", origin), (b"host", b"site.example")],
    }
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    await site.app(scope, receive, send)
    return sent


async def test_a_request_that_did_not_come_through_the_middleware_is_told_so(sessions):
    for request in ({"type": "http"}, object(), None):
        with pytest.raises(SdkError, match="Millions"):
            await sessions.of(request)


async def test_sessions_that_are_not_open_say_so(store):
    with pytest.raises(UnavailableError):
        _ = Sessions(store).cookie


async def test_sessions_do_not_open_without_a_secret(store, sessions_directory, tmp_path):
    with pytest.raises(StateError):
        await Sessions(store).open(
            dataclasses.replace(sessions_directory, secret_file=str(tmp_path / "missing"))
        )


@pytest.mark.parametrize("breaks", ["before", "after"])
async def test_a_session_is_kept_though_nobody_heard_whether_it_was(site, store, breaks):
    visitor = site.visitor()
    for page in ("/change?colour=red", "/login?user=7", "/change?colour=blue&size=1"):
        store.breaks = breaks
        assert (await visitor.get(page)).status_code == 200
        assert not store.breaks
    assert await shown(visitor) == {"user": "7", "data": {"colour": "blue", "size": "1"}}


class ContendedStore(Store):
    """The store, where another request is always first."""

    async def put(self, key, value, **options):  # noqa: ARG002  # the store's own signature
        raise ConflictError(cannot=f"put {key}", because="another was first", try_="again")


async def test_a_session_that_everybody_changes_at_once_is_refused_in_the_end(
    database, sessions_directory
):
    contended = ContendedStore(database)
    await contended.open(sessions_directory)
    sessions = Sessions(contended)
    await sessions.open(sessions_directory)

    async def app(scope, receive, send):
        (await sessions.of(scope))["colour"] = "red"
        await send({"type": "http.response.start", "status": 200, "headers": []})

    with pytest.raises(ConflictError, match="10 times"):
        await sessions.wrap(app)(
            {"type": "http", "method": "GET", "path": "/", "headers": []}, _no_body, _ignore
        )
    await contended.close()
