"""An upload becomes a picture without a past, or is refused in words that help."""

import asyncio
from io import BytesIO

import pytest
from photos_stage import Member, a_picture
from PIL import Image

from millions.testing import eventually

MIB = 1024 * 1024
ORIENTATION, MAKER = 0x0112, 0x010F


async def developed(member: Member, photo: dict) -> dict:
    """The photo once its sizes are made."""

    async def ready() -> dict | None:
        answer = await member.client.get(f"/api/photos/{photo['owner']['id']}/{photo['id']}")
        return answer.json() if answer.json()["ready"] else None

    return await eventually(ready, within_s=60)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_an_upload_is_shown_once_its_sizes_are_made(new_member, kind):
    ada = await new_member()
    photo = await developed(ada, await ada.upload(a_picture(kind, (2000, 1000)), "Dusk"))
    assert (photo["width"], photo["height"], photo["caption"]) == (2000, 1000, "Dusk")
    for url, longest in ((photo["small_url"], 480), (photo["large_url"], 1440)):
        answer = await ada.client.get(url)
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert max(Image.open(BytesIO(answer.content)).size) == longest


async def test_what_is_served_tells_neither_place_nor_camera_and_stands_upright(new_member):
    exif = Image.Exif()
    exif[MAKER], exif[ORIENTATION] = "Secret Camera", 6
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.0)
    ada = await new_member()
    photo = await developed(ada, await ada.upload(a_picture(size=(800, 400), exif=exif)))
    assert (photo["width"], photo["height"]) == (400, 800)
    served = (await ada.client.get(photo["large_url"])).content
    assert Image.open(BytesIO(served)).size == (400, 800)
    assert not Image.open(BytesIO(served)).getexif()
    assert b"Secret Camera" not in served


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"hello", "not a JPEG, PNG or WebP picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "not a JPEG"),
        (a_picture("GIF"), "not a JPEG"),
        (a_picture()[:-4000], "cut off or damaged"),
        (a_picture(size=(9, 900)), "at least 16"),
    ],
    ids=["empty", "text", "svg", "gif", "cut off", "sliver"],
)
async def test_what_is_no_whole_picture_is_refused_in_clear_words(new_member, content, words):
    ada = await new_member()
    answer = await ada.client.post("/api/photos", files={"file": ("p.jpg", content, "image/jpeg")})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert (await ada.profile())["photos"] == 0


async def test_a_picture_over_the_bound_of_the_stack_is_refused_in_clear_words(new_member):
    ada = await new_member()
    large = a_picture() + b"\0" * (9 * MIB)  # the stack of these tests takes files up to 8 MiB
    answer = await ada.client.post("/api/photos", files={"file": ("p.jpg", large, "image/jpeg")})
    assert answer.status_code == 422
    assert "larger than 8 MiB" in answer.json()["detail"]


async def test_a_request_over_the_bound_is_refused_before_it_is_read(photos_site):
    host, port = photos_site.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /api/photos HTTP/1.1\r\nHost: x\r\nContent-Length: {900 * MIB}\r\n\r\n"
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_the_page_says_what_is_wrong_with_an_upload(new_member):
    ada = await new_member()
    token = ada.client.headers["X-CSRF-Token"]
    answer = await ada.client.post(
        "/upload",
        data={"csrf_token": token, "caption": "<i>mine</i>"},
        files={"file": ("p.jpg", b"no", "image/jpeg")},
    )
    assert answer.status_code == 422
    assert "This is not a JPEG, PNG or WebP picture" in answer.text
    assert "&lt;i&gt;mine&lt;/i&gt;" in answer.text
    nothing = await ada.client.post("/upload", data={"csrf_token": token, "caption": ""})
    assert "Please choose a picture first." in nothing.text


async def test_an_upload_that_is_repeated_with_its_key_is_taken_once(new_member):
    ada = await new_member()
    request = ada.client.build_request(
        "POST", "/api/photos", files={"file": ("p.jpg", a_picture(), "image/jpeg")}
    )
    body = request.read()
    headers = {"Idempotency-Key": "one", "content-type": request.headers["content-type"]}
    answers = [
        await ada.client.post("/api/photos", content=body, headers=headers) for _ in range(2)
    ]
    assert [each.status_code for each in answers] == [201, 201]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert (await ada.profile())["photos"] == 1


async def test_a_photo_that_was_deleted_is_gone_with_its_files(new_member):
    ada, grace = await new_member(), await new_member()
    photo = await developed(ada, await ada.upload())
    path = f"/api/photos/{ada.id}/{photo['id']}"
    assert (await grace.client.delete(path)).status_code == 403
    assert (await ada.client.delete(path)).status_code == 204
    assert (await ada.client.delete(path)).status_code == 404
    assert (await ada.client.get(path)).status_code == 404

    async def gone() -> bool:
        answers = [await ada.client.get(photo[each]) for each in ("small_url", "large_url")]
        return all(each.status_code == 404 for each in answers)

    assert await eventually(gone, within_s=60)
    assert (await ada.profile())["photos"] == 0


async def test_many_uploads_at_once_are_all_developed(new_member):
    ada = await new_member()
    photos = await asyncio.gather(*(ada.upload(a_picture(size=(320, 240))) for _ in range(12)))
    await asyncio.gather(*(developed(ada, each) for each in photos))
    assert (await ada.profile())["photos"] == 12
