"""Who acts in these tests: people with clients of their own, and browsers that are watched."""

import secrets
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import httpx
from PIL import Image
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Response

FOLDER = Path(__file__).parents[3] / "examples" / "photos"
CHROMIUM = "/usr/bin/chromium"
PASSWORD = "a long enough password"
STARTS_WITHIN_S = 30
STOPS_WITHIN_S = 45
CELEBRITY_FOLLOWERS = 3
SPREAD_BATCH = 2


def a_picture(kind: str = "JPEG", size: tuple[int, int] = (900, 600), **options: object) -> bytes:
    """A picture that no other test has."""
    image = Image.frombytes("RGB", (3, 2), secrets.token_bytes(18)).resize(size)
    target = BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def a_handle() -> str:
    return f"u_{secrets.token_hex(6)}"


@dataclass
class Member:
    """Somebody with an account and a client that is logged in."""

    client: httpx.AsyncClient
    handle: str
    id: str = ""
    name: str = ""

    async def upload(self, content: bytes | None = None, caption: str = "") -> dict:
        answer = await self.client.post(
            "/api/photos",
            files={"file": ("p.jpg", content or a_picture(), "image/jpeg")},
            data={"caption": caption},
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def follow(self, other: "Member") -> dict:
        return (await self.client.put(f"/api/people/{other.handle}/follow")).json()

    async def unfollow(self, other: "Member") -> dict:
        return (await self.client.delete(f"/api/people/{other.handle}/follow")).json()

    async def profile(self) -> dict:
        return (await self.client.get(f"/api/people/{self.handle}")).json()

    async def feed(self) -> list[str]:
        """The ids in the whole feed, page after page."""
        ids: list[str] = []
        older: str | None = "/api/feed"
        while older and len(ids) < 1000:
            page = (await self.client.get(older)).json()
            ids += [each["id"] for each in page["photos"]]
            older = page["older"]
        return ids


@dataclass
class Watched:
    """Browser contexts whose every request and complaint is written down."""

    site: str
    browser: Browser
    contexts: list[BrowserContext] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    async def __call__(self, width: int = 1280, height: int = 860, **options: object) -> Page:
        context = await self.browser.new_context(
            base_url=self.site, viewport={"width": width, "height": height}, **options
        )
        self.contexts.append(context)
        context.set_default_timeout(30_000)
        context.on("request", lambda request: self.requests.append(request.url))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", self._heard)
        context.on("response", self._answered)
        return await context.new_page()

    def _heard(self, said: ConsoleMessage) -> None:
        if said.type == "error" and not said.text.startswith("Failed to load resource"):
            self.complaints.append(said.text)

    def _answered(self, answer: Response) -> None:
        if answer.status >= 400 and answer.request.resource_type != "document":
            self.complaints.append(f"{answer.status} {answer.url}")

    def elsewhere(self) -> list[str]:
        """Requests that did not go to the application."""
        ours = (f"{self.site}/", "data:", "blob:")
        return [each for each in self.requests if not each.startswith(ours)]
