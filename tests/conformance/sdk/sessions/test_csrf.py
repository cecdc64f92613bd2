import pytest

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
async def visitor(site):
    visitor = site.visitor()
    await visitor.get("/login?user=7")
    return visitor


@pytest.fixture
async def token(visitor):
    return (await visitor.get("/form")).text


async def test_a_form_with_its_token_is_accepted_and_arrives_whole(visitor, token):
    answer = await visitor.post("/submit", data={"csrf_token": token, "text": "x" * 100_000})
    assert answer.status_code == 200
    assert int(answer.text.split(":")[0]) == len("csrf_token=&text=") + len(token) + 100_000


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_form_without_its_token_is_refused(visitor, method):
    answer = await visitor.request(method, "/submit", data={"text": "x"})
    assert answer.status_code == 403
    assert answer.text.startswith("cannot accept this request\n  because: it has no CSRF token")
    assert "try:" in answer.text


async def test_the_token_may_stand_in_the_header_or_the_query(visitor, token):
    answer = await visitor.post("/submit", data={"a": "b"}, headers={"X-CSRF-Token": token})
    assert answer.status_code == 200
    answer = await visitor.post("/submit", data={"a": "b"}, params={"csrf_token": token})
    assert answer.status_code == 200


async def test_an_upload_carries_its_token_in_the_first_part(visitor, token):
    files = {"photo": ("a.jpg", b"\xff" * 300_000, "image/jpeg")}
    answer = await visitor.post("/submit", data={"csrf_token": token}, files=files)
    assert answer.status_code == 200
    assert int(answer.text.split(":")[0]) > 300_000


async def test_a_token_behind_a_large_upload_is_not_looked_for(visitor, token):
    async def body():
        yield b'--b\r\nContent-Disposition: form-data; name="photo"\r\n\r\n'
        for _ in range(10):
            yield b"x" * 10_000
        yield b'\r\n--b\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n'
        yield token.encode() + b"\r\n--b--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await visitor.post("/submit", content=body(), headers=headers)
    assert answer.status_code == 403
    assert "64 KiB" in answer.text
    answer = await visitor.post(
        "/submit", content=body(), headers=headers, params={"csrf_token": token}
    )
    assert answer.status_code == 200


async def test_a_token_that_arrives_byte_by_byte_is_found(visitor, token):
    async def body():
        for byte in f"a=1&csrf_token={token}&b=2".encode():
            yield bytes([byte])

    answer = await visitor.post("/submit", content=body(), headers={"Content-Type": FORM})
    assert answer.status_code == 200
    assert answer.text.startswith(f"{len(token) + 19}:")


async def test_the_token_of_another_session_is_refused(visitor, site):
    other = site.visitor()
    foreign = (await other.get("/form")).text
    answer = await visitor.post("/submit", data={"csrf_token": foreign})
    assert answer.status_code == 403
    assert "another session" in answer.text
    assert (await other.post("/submit", data={"csrf_token": foreign})).status_code == 200


async def test_the_token_of_before_the_login_is_refused_after_it(site):
    visitor = site.visitor()
    before = (await visitor.get("/form")).text
    await visitor.get("/login?user=7")
    assert (await visitor.post("/submit", data={"csrf_token": before})).status_code == 403


@pytest.mark.parametrize("forged", ["", "x", "A" * 40, "é", "=" * 300])
async def test_a_forged_token_is_refused(visitor, forged):
    assert (await visitor.post("/submit", data={"csrf_token": forged})).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://site.example:8080"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://other.site.example"},
    ],
    ids=str,
)
async def test_another_site_is_refused_even_with_the_token(visitor, token, headers):
    answer = await visitor.post("/submit", data={"csrf_token": token}, headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://site.example"},
        {"Origin": "http://site.example:80"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://trusted.example"},
    ],
    ids=str,
)
async def test_this_site_and_trusted_ones_are_accepted_with_the_token(visitor, token, headers):
    answer = await visitor.post("/submit", data={"csrf_token": token}, headers=headers)
    assert answer.status_code == 200


async def test_this_site_needs_the_token_in_forms_all_the_same(visitor):
    headers = {"Sec-Fetch-Site": "same-origin"}
    assert (await visitor.post("/submit", data={"a": "b"}, headers=headers)).status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", None])
async def test_what_a_foreign_page_can_send_without_a_form_needs_proof_too(visitor, token, kind):
    headers = {"Content-Type": kind} if kind else {}
    assert (await visitor.post("/submit", headers=headers)).status_code == 403
    proof = {**headers, "Sec-Fetch-Site": "same-origin"}
    assert (await visitor.post("/submit", headers=proof)).status_code == 200
    proof = {**headers, "X-CSRF-Token": token}
    assert (await visitor.post("/submit", headers=proof)).status_code == 200


async def test_json_needs_no_token_because_a_browser_asks_before_it_sends_it(visitor):
    assert (await visitor.post("/submit", json={"a": 1})).status_code == 200


async def test_reading_needs_no_token(visitor):
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert (await visitor.get("/submit", headers=headers)).status_code == 200


async def test_a_visitor_without_a_session_cookie_needs_no_token(site):
    assert (await site.visitor().post("/submit", data={"a": "b"})).status_code == 200


async def test_exempt_paths_are_not_checked(visitor):
    assert (await visitor.post("/hook/in", data={"a": "b"})).status_code == 200


async def test_a_token_for_a_visitor_without_a_session_stores_nothing(site, store):
    visitor = site.visitor()
    token = (await visitor.get("/form")).text
    assert store.asked == 0
    assert (await visitor.post("/submit", data={"a": "b"})).status_code == 403
    assert (await visitor.post("/submit", data={"csrf_token": token})).status_code == 200
    assert store.asked == 0


async def test_no_two_tokens_look_alike_and_none_holds_the_id(visitor, site, sessions):
    tokens = {(await visitor.get("/form")).text for _ in range(5)}
    assert len(tokens) == 5
    headers = [(b"cookie", f"{site.cookie}={visitor.cookies[site.cookie]}".encode())]
    session_id = sessions.cookie.session_id(headers)
    assert not any(session_id in token for token in tokens)


async def test_the_body_is_read_by_the_application_alone_when_the_token_is_in_the_header(
    sessions, site, visitor, token
):
    read_before_app = []
    called = False

    async def receive():
        if not called:
            read_before_app.append(1)
        return {"type": "http.request", "body": b"a=b", "more_body": False}

    async def app(scope, receive, send):
        nonlocal called
        called = True
        assert (await receive())["body"] == b"a=b"

    cookie = f"{site.cookie}={visitor.cookies[site.cookie]}".encode()
    headers = [(b"cookie", cookie), (b"content-type", FORM.encode())]
    headers.append((b"x-csrf-token", token.encode()))
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
    await sessions.wrap(app)(scope, receive, None)
    assert called
    assert not read_before_app
