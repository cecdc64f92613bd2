"""The code of the guides on cache, store and sessions does what the guides say."""

import asyncio
import re
import uuid
from importlib import import_module
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

GUIDES = Path(__file__).parents[4] / "docs" / "guides"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def guide(tmp_path, monkeypatch):
    """Imports the Python of one guide as a module."""
    monkeypatch.syspath_prepend(tmp_path)

    def load(name):
        module = "guide_" + name.replace("-", "_")
        blocks = BLOCK.findall((GUIDES / f"{name}.md").read_text(encoding="utf-8"))
        assert len(blocks) > 1
        (tmp_path / f"{module}.py").write_text("\n".join(blocks), encoding="utf-8")
        return import_module(module)

    return load


async def test_the_guide_on_cache_and_store_does_what_it_says(guide, millions_nouns):
    pages = guide("cache-and-store")
    user_id = uuid.uuid4()
    pool = millions_nouns.db.pool()
    await pool.execute("CREATE TABLE profiles (user_id uuid PRIMARY KEY, name text, followers int)")
    await pool.execute("INSERT INTO profiles VALUES ($1, 'ann', 7)", user_id)
    assert await pages.profile(user_id) == pages.Profile("ann", 7)
    assert await pages.profile(user_id) is await pages.profile(user_id)
    await pages.rename(user_id, "anna")
    assert await pages.profile(user_id) == pages.Profile("anna", 7)

    await asyncio.gather(*(pages.add_to_cart(user_id, item) for item in "abc"))
    cart = await millions_nouns.store.get(f"cart:{user_id}")
    assert sorted(cart.value) == ["a", "b", "c"]

    assert [await pages.may_try("10.0.0.1") for _ in range(6)] == [True] * 5 + [False]

    photos = [uuid.uuid4() for _ in range(120)]
    for at_s, photo in enumerate(photos):
        await pages.publish(photo, at_s, [user_id, uuid.uuid4()])
    assert await pages.feed(user_id) == [str(photo) for photo in photos[:19:-1]]


async def test_the_guide_on_sessions_does_what_it_says(guide, millions_nouns):
    pages = guide("sessions-and-forms")

    async def checked_password(name, password):
        assert password == "right"
        return f"id-of-{name}"

    pages.checked_password = checked_password
    routes = [
        Route("/", pages.show),
        Route("/form", pages.form, methods=["GET", "POST"]),
        Route("/in", pages.sign_in, methods=["POST"]),
        Route("/out", pages.sign_out, methods=["POST"]),
    ]
    app = millions_nouns.sessions.wrap(Starlette(routes=routes))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://site.example") as visitor:
        assert (await visitor.get("/")).text == "nobody, 1 visits"
        assert (await visitor.post("/form", data={"text": "x"})).status_code == 403
        page = (await visitor.get("/form")).text
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
        form = {"name": "ann", "password": "right", "csrf_token": token}
        assert (await visitor.post("/in", data=form)).status_code == 303
        assert (await visitor.get("/")).text == "id-of-ann, 2 visits"
        token = re.search(r'value="([^"]+)"', (await visitor.get("/form")).text)[1]
        await visitor.post("/out", data={"csrf_token": token})
        assert (await visitor.get("/")).text == "nobody, 1 visits"
