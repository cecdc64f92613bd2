"""A request with an Idempotency-Key takes effect once, on each framework, and is answered alike."""

import asyncio
import uuid

import httpx
from served import Served


def key() -> dict[str, str]:
    return {"idempotency-key": uuid.uuid4().hex}


async def stored(client: httpx.AsyncClient, words: str) -> int:
    return (await client.get("/count", params={"words": words})).json()["count"]


async def test_a_repeated_request_gets_the_first_answer_and_no_second_effect(
    client: httpx.AsyncClient,
) -> None:
    headers, words = key(), uuid.uuid4().hex
    first = await client.post("/notes", json={"words": words}, headers=headers)
    again = await client.post("/notes", json={"words": words}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert await stored(client, words) == 1


async def test_without_a_key_each_request_takes_effect(client: httpx.AsyncClient) -> None:
    words = uuid.uuid4().hex
    for _ in range(2):
        await client.post("/notes", json={"words": words})
    assert await stored(client, words) == 2


async def test_of_requests_side_by_side_one_runs_and_all_get_its_answer(
    client: httpx.AsyncClient,
) -> None:
    headers, words = key(), uuid.uuid4().hex
    answers = await asyncio.gather(
        *(client.post("/deeds/add_slowly", content=words, headers=headers) for _ in range(8))
    )
    assert {each.status_code for each in answers} == {200}
    assert len({each.json()["token"] for each in answers}) == 1
    found = (await client.get("/count", params={"words": words})).json()
    assert found == {"count": 1, "began": 1}


async def test_another_body_with_the_same_key_is_refused(client: httpx.AsyncClient) -> None:
    headers, words = key(), uuid.uuid4().hex
    await client.post("/notes", json={"words": words}, headers=headers)
    other = await client.post("/notes", json={"words": words + "x"}, headers=headers)
    assert other.status_code == 422
    assert "used for another request" in other.text
    assert await stored(client, words + "x") == 0


async def test_another_path_or_method_with_the_same_key_is_refused(
    client: httpx.AsyncClient,
) -> None:
    headers, words = key(), uuid.uuid4().hex
    await client.post("/deeds/add_note", content=words, headers=headers)
    path = await client.post("/deeds/add_slowly", content=words, headers=headers)
    query = await client.post("/deeds/add_note?x=1", content=words, headers=headers)
    method = await client.put("/deeds/add_note", content=words, headers=headers)
    assert {path.status_code, query.status_code, method.status_code} == {422}
    assert await stored(client, words) == 1


async def test_a_request_that_failed_after_its_commit_is_not_done_again(
    client: httpx.AsyncClient,
) -> None:
    headers, words = key(), uuid.uuid4().hex
    first = await client.post("/deeds/add_and_fail", content=words, headers=headers)
    again = await client.post("/deeds/add_and_fail", content=words, headers=headers)
    assert (first.status_code, again.status_code) == (500, 500)
    assert again.headers["idempotency-replayed"] == "true"
    assert await stored(client, words) == 1


async def test_what_a_transaction_wrote_to_the_store_alone_is_not_done_again(
    client: httpx.AsyncClient,
) -> None:
    headers, words = key(), uuid.uuid4().hex
    first = await client.post("/deeds/count_and_fail", content=words, headers=headers)
    again = await client.post("/deeds/count_and_fail", content=words, headers=headers)
    assert (first.status_code, again.status_code) == (500, 500)
    assert again.headers["idempotency-replayed"] == "true"
    found = (await client.get("/count", params={"words": words})).json()
    assert found == {"count": 0, "began": 1}


async def test_a_request_that_failed_without_effect_may_be_done_again(
    client: httpx.AsyncClient,
) -> None:
    headers, words = key(), uuid.uuid4().hex
    for _ in range(2):
        answer = await client.post("/deeds/add_and_undo", content=words, headers=headers)
        assert answer.status_code == 500
        assert "idempotency-replayed" not in answer.headers
    assert await stored(client, words) == 0


async def test_a_request_without_any_write_is_answered_alike_too(client: httpx.AsyncClient) -> None:
    headers = key()
    first = await client.post("/size", content=b"12345", headers=headers)
    again = await client.post("/size", content=b"12345", headers=headers)
    assert first.json() == again.json() == {"size": 5}
    assert again.headers["idempotency-replayed"] == "true"


async def test_the_keys_of_others_are_other_keys(client: httpx.AsyncClient) -> None:
    headers, words = key(), uuid.uuid4().hex
    tokens = []
    for user in ("ann", "bob"):
        mine = {**headers, "authorization": f"Bearer {user}"}
        answer = await client.post("/notes", json={"words": words}, headers=mine)
        tokens.append(answer.json()["token"])
    assert tokens[0] != tokens[1]
    assert await stored(client, words) == 2


async def test_a_login_that_is_repeated_gives_the_same_cookie(client: httpx.AsyncClient) -> None:
    headers = key()
    first = await client.post("/login", params={"user": "ann"}, headers=headers)
    client.cookies.clear()  # as if the answer had been lost on its way
    again = await client.post("/login", params={"user": "ann"}, headers=headers)
    assert again.headers["set-cookie"] == first.headers["set-cookie"]
    assert (await client.get("/me")).json() == {"user": "ann"}


async def test_a_malformed_key_is_refused_in_clear_words(client: httpx.AsyncClient) -> None:
    for bad in ("", "two words", "x" * 256):
        answer = await client.post("/size", content=b"1", headers={"idempotency-key": bad})
        assert answer.status_code == 400
        assert "Idempotency-Key" in answer.text


async def test_a_key_on_a_safe_method_changes_nothing(
    served: Served, client: httpx.AsyncClient
) -> None:
    headers = key()
    for name in ("ann", "bob"):
        answer = await client.get(f"/hello/{name}", headers=headers)
        assert answer.json()["hello"] == name
