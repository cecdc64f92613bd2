"""Doors must stay shut: for guesses, for other sites, for what people write, for strangers."""

import pytest
from photos_stage import PASSWORD, a_handle, a_picture


async def test_a_password_is_guessed_ten_times_and_not_more(new_member, visitor):
    ada = await new_member()
    wrong = {"handle": ada.handle, "password": "not the password"}
    codes = [(await visitor.post("/api/session", json=wrong)).status_code for _ in range(12)]
    assert codes == [401] * 10 + [429] * 2
    right = {"handle": ada.handle, "password": PASSWORD}
    refused = await visitor.post("/api/session", json=right)
    assert refused.status_code == 429
    assert "quarter of an hour" in refused.json()["detail"]


async def test_an_unknown_handle_gets_the_words_of_a_wrong_password(new_member, visitor):
    ada = await new_member()
    answers = [
        await visitor.post("/api/session", json={"handle": each, "password": "not the password"})
        for each in (ada.handle, a_handle())
    ]
    assert answers[0].json() == answers[1].json()
    assert [each.status_code for each in answers] == [401, 401]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"handle": "x"}, "3 to 30"),
        ({"handle": "has space"}, "3 to 30"),
        ({"handle": "admin"}, "taken"),
        ({"password": "short"}, "10 characters"),
        ({"name": "  "}, "what to call you"),
    ],
    ids=["short handle", "space", "reserved", "short password", "no name"],
)
async def test_a_sign_up_says_which_field_is_wrong(visitor, change, words):
    page = await visitor.get("/signup")
    token = page.text.partition('name="csrf_token" value="')[2].partition('"')[0]
    form = {"name": "Ada", "handle": a_handle(), "password": PASSWORD, "csrf_token": token}
    answer = await visitor.post("/signup", data=form | change)
    assert answer.status_code == 422
    assert words in answer.text
    assert PASSWORD not in answer.text


async def test_a_handle_is_given_to_one_of_many_who_want_it_at_once(photos_site, new_member):
    handle = a_handle()
    ada = await new_member(handle=handle)
    again = {"name": "Other", "handle": handle.upper(), "password": PASSWORD}
    answer = await ada.client.post("/api/people", json=again)
    assert answer.status_code == 409


@pytest.mark.parametrize(
    "path", ["/@{handle}/follow", "/account/sessions", "/account/delete", "/logout"]
)
async def test_a_form_without_the_token_of_its_session_is_refused(new_member, path):
    ada = await new_member()
    del ada.client.headers["X-CSRF-Token"]
    path = path.format(handle=ada.handle)
    for form in ({"x": "1"}, {"csrf_token": "forged"}):
        assert (await ada.client.post(path, data=form)).status_code == 403
    assert (await ada.client.get("/api/session")).status_code == 200


async def test_another_site_cannot_act_for_somebody(new_member):
    ada = await new_member()
    headers = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    answer = await ada.client.post("/logout", data={"x": "1"}, headers=headers)
    assert answer.status_code == 403
    assert (await ada.client.get("/api/session")).status_code == 200


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
async def test_a_login_leads_to_no_other_site(new_member, target):
    ada = await new_member()
    answer = await ada.client.get("/login", params={"next": target})
    assert answer.headers["location"] == "/"


async def test_what_people_write_is_shown_and_not_run(new_member, visitor):
    evil = '"><script>alert(1)</script>'
    ada = await new_member(evil)
    photo = await ada.upload(a_picture(), evil)
    path = f"/api/photos/{ada.id}/{photo['id']}/comments"
    await ada.client.post(path, json={"text": evil})
    for url in (photo["url"], f"/@{ada.handle}", "/explore", "/search?q=script"):
        page = await visitor.get(url)
        assert "<script>alert" not in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/upload", "/account"])
async def test_a_stranger_is_led_to_the_login_and_then_on(visitor, path):
    answer = await visitor.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/login?next={path}"


async def test_a_stranger_can_change_nothing(new_member, visitor):
    ada = await new_member()
    photo = await ada.upload()
    path = f"/api/photos/{ada.id}/{photo['id']}"
    for method, url in (
        ("PUT", f"{path}/like"),
        ("DELETE", f"{path}/like"),
        ("DELETE", path),
        ("POST", f"{path}/comments"),
        ("PUT", f"/api/people/{ada.handle}/follow"),
        ("GET", "/api/feed"),
    ):
        body = {"text": "x"} if method == "POST" else None
        answer = await visitor.request(method, url, json=body)
        assert answer.status_code == 401, url


@pytest.mark.parametrize(
    "path",
    [
        *("/@nobody_here", "/@x/followers", "/nothing", "/@nobody_here/not-an-id"),
        "/@nobody_here/01890a5d-ac96-774b-bcce-b302099a8057",
    ],
)
async def test_what_is_not_there_is_a_page_that_says_so(visitor, path):
    answer = await visitor.get(path)
    assert answer.status_code == 404
    assert "Nothing here" in answer.text


async def test_the_api_describes_itself(visitor):
    described = (await visitor.get("/api/openapi.json")).json()
    assert {"/api/feed", "/api/photos", "/api/session"} <= described["paths"].keys()
    assert not any(path.startswith("/@") for path in described["paths"])
    assert "Take a like back" in (await visitor.get("/api")).text


async def test_a_changed_password_ends_other_sessions_and_the_old_one_is_worth_nothing(
    new_member, visitor
):
    ada = await new_member()
    old = {"handle": ada.handle, "password": PASSWORD}
    other = await visitor.post("/api/session", json=old)
    assert other.status_code == 201
    form = {
        "csrf_token": ada.client.headers["X-CSRF-Token"],
        "current": PASSWORD,
        "password": "another long password",
    }
    assert (await ada.client.post("/account/password", data=form)).status_code == 303
    assert (await ada.client.get("/api/session")).status_code == 200
    assert (await visitor.get("/api/session")).status_code == 401
    assert (await visitor.post("/api/session", json=old)).status_code == 401
