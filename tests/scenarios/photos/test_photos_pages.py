"""People in a real browser: what they do works, looks whole, and stays on this machine."""

from pathlib import Path

import pytest
from photos_stage import PASSWORD, a_handle, a_picture
from playwright.async_api import Page, expect

from millions.testing import eventually

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844, "has_touch": True, "is_mobile": True}


async def sign_up(page: Page, name: str) -> str:
    handle = a_handle()
    await page.goto("/signup")
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Handle").fill(handle)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign up").click()
    await expect(page.get_by_role("status")).to_contain_text(f"Welcome, {name}")
    return handle


async def log_in(page: Page, handle: str, password: str = PASSWORD) -> None:
    await page.goto("/login")
    await page.get_by_label("Handle").fill(handle)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log in").click()


async def share(page: Page, folder: Path, caption: str) -> str:
    picture = folder / "picture.png"
    picture.write_bytes(a_picture("PNG"))
    await page.goto("/upload")
    await page.locator("#file").set_input_files(picture)
    await page.get_by_label("Caption").fill(caption)
    await page.get_by_role("button", name="Share").click()
    await page.wait_for_url("**/@*/*")
    return page.url


async def shown_width(page: Page, selector: str) -> int:
    """The real width in pixels of a picture that was fetched; 0 before."""
    return await page.locator(selector).first.evaluate("image => image.naturalWidth")


async def test_two_people_share_follow_like_and_talk(new_page, tmp_path):
    ada, grace = await new_page(), await new_page(**PHONE)
    handle = await sign_up(ada, "Ada Byron")
    photo = await share(ada, tmp_path, "Evening over the ridge")
    await expect(ada.locator(".viewer img")).to_be_visible()
    assert await eventually(lambda: shown_width(ada, ".viewer img"), within_s=60) > 0

    await sign_up(grace, "Grace Hopper")
    await expect(grace.get_by_text("Your feed is quiet")).to_be_visible()
    await grace.goto(f"/@{handle}")
    await grace.get_by_role("button", name="Follow").click()
    await expect(grace.get_by_role("button", name="Following")).to_be_visible()

    async def in_feed() -> bool:
        await grace.goto("/")
        return await grace.locator(".card").count() == 1

    assert await eventually(in_feed, within_s=60)
    card = grace.locator(".card")
    await expect(card).to_contain_text("Evening over the ridge")
    heart = card.get_by_role("button", name="Like")
    await heart.click()
    await expect(heart).to_have_attribute("aria-pressed", "true")
    await expect(heart).to_contain_text("1")
    await grace.reload()
    await expect(heart).to_have_attribute("aria-pressed", "true")

    await grace.goto(photo)
    await grace.get_by_label("Comment", exact=True).fill("What a <b>light</b>!")
    await grace.get_by_role("button", name="Send").click()
    await expect(grace.locator(".comment")).to_contain_text("What a <b>light</b>!")

    await ada.goto(photo)
    await expect(ada.locator(".comment")).to_contain_text("Grace Hopper")
    await expect(ada.locator("[data-count]").first).to_have_text("1")


async def test_a_thumbnail_appears_without_a_reload(new_page, tmp_path):
    page = await new_page()
    handle = await sign_up(page, "Mária Telkes")
    await share(page, tmp_path, "")
    loads: list[str] = []
    page.on("load", lambda: loads.append(page.url))
    await expect(page.locator(".viewer img")).to_be_visible()
    assert loads == []
    await page.goto(f"/@{handle}")
    assert await eventually(lambda: shown_width(page, ".grid img"), within_s=60) == 480


async def test_a_like_can_be_taken_back(new_page, new_member):
    owner, page = await new_member(), await new_page()
    photo = await owner.upload()
    await sign_up(page, "Tim")
    await page.goto(photo["url"])
    heart = page.get_by_role("button", name="Like")
    for pressed, count in (("true", "1"), ("false", "0"), ("true", "1")):
        await heart.click()
        await expect(heart).to_have_attribute("aria-pressed", pressed)
        await expect(heart.locator("[data-count]")).to_have_text(count)
        await expect(heart).to_be_enabled()
    await page.reload()
    await expect(heart).to_have_attribute("aria-pressed", "true")


async def test_everything_works_without_scripting(new_page, new_member, tmp_path):
    owner = await new_member("Edsger")
    photo = await owner.upload()
    page = await new_page(java_script_enabled=False)
    await sign_up(page, "Barbara")
    await page.goto(photo["url"])
    await page.get_by_role("button", name="Follow").click()
    await expect(page.get_by_role("button", name="Following")).to_be_visible()
    await page.get_by_role("button", name="Like").click()
    await expect(page.get_by_role("button", name="Like")).to_have_attribute("aria-pressed", "true")
    await page.get_by_label("Comment", exact=True).fill("Quiet.")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator(".comment")).to_contain_text("Quiet.")
    await share(page, tmp_path, "Mine")

    async def ready() -> bool:
        await page.reload()
        return await page.locator(".viewer img").count() == 1

    assert await eventually(ready, within_s=60)


async def test_people_are_found_by_the_start_of_a_name_whatever_its_accents(new_page, new_member):
    someone = await new_member("Zoë Ångström")
    page = await new_page(**PHONE)
    await page.goto("/explore")
    await page.get_by_label("Search people").fill("zoe angs")
    await page.get_by_label("Search people").press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("People named “zoe angs”")
    await expect(page.locator(".people")).to_contain_text(f"@{someone.handle}")
    await page.goto("/search?q=qqqqqqq")
    await expect(page.get_by_text("Nobody found")).to_be_visible()


async def test_logging_out_everywhere_ends_the_session_on_the_other_device(new_page):
    desk, phone = await new_page(), await new_page(**PHONE)
    handle = await sign_up(desk, "Ada Byron")
    await log_in(phone, handle)
    await phone.goto("/account")
    await expect(phone.get_by_role("heading", name="Account", exact=True)).to_be_visible()
    await desk.goto("/account")
    await desk.get_by_role("button", name="Log out everywhere").click()
    await expect(desk.get_by_role("status")).to_have_text("You are logged out everywhere.")
    await phone.goto("/account")
    await expect(phone.get_by_role("heading", name="Welcome back")).to_be_visible()


async def test_an_account_is_changed_and_deleted_by_its_owner(new_page, tmp_path):
    page = await new_page()
    handle = await sign_up(page, "Ada Byron")
    photo = await share(page, tmp_path, "")
    await page.goto("/account")
    await page.get_by_label("Name").fill("Ada King")
    await page.get_by_label("About you").fill("Numbers.")
    await page.get_by_role("button", name="Save profile").click()
    await expect(page.get_by_role("status")).to_have_text("Your profile is saved.")
    await page.goto(f"/@{handle}")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Ada King")
    await page.goto("/account")
    await page.get_by_label("Current password").fill(PASSWORD)
    await page.get_by_label("New password").fill("another long password")
    await page.get_by_role("button", name="Change password").click()
    await expect(page.get_by_role("status")).to_contain_text("Your password is changed")
    await page.get_by_text("I want to delete my account").click()
    await page.get_by_label("Your password, to be sure").fill("another long password")
    await page.get_by_role("button", name="Delete my account").click()
    await expect(page.get_by_role("status")).to_contain_text("deleted")
    for gone in (f"/@{handle}", photo):
        await page.goto(gone)
        await expect(page.get_by_role("heading", name="Nothing here")).to_be_visible()


@pytest.mark.parametrize("size", [(360, 740), (820, 1180), (1920, 1080)])
async def test_no_page_is_wider_than_its_screen(new_page, new_member, size):
    owner = await new_member("Wilhelmina Featherstonehaugh-Cholmondeley")
    photo = await owner.upload(caption="w" * 300)
    page = await new_page(*size)
    public = ["/", "/login", "/signup", "/explore", "/search?q=wil", "/api", photo["url"]]
    handle = await sign_up(page, "Ada Byron")
    for path in [*public, "/upload", "/account", f"/@{owner.handle}", f"/@{handle}/followers"]:
        await page.goto(path)
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= size[0], path


async def test_every_field_and_picture_has_a_name_and_every_page_a_heading(new_page, new_member):
    owner = await new_member()
    photo = await owner.upload()
    page = await new_page()
    nameless = """() => [
        ...[...document.querySelectorAll('input:not([type=hidden]), textarea')]
            .filter(each => !each.labels.length && each.getAttribute('aria-hidden') !== 'true'),
        ...[...document.querySelectorAll('img:not([alt])')],
        ...[...document.querySelectorAll('a, button')]
            .filter(each => !(each.innerText || each.ariaLabel || each.textContent).trim()
                && each.getAttribute('aria-hidden') !== 'true'),
    ].map(each => each.outerHTML)"""
    paths = ["/login", "/signup", "/explore", photo["url"], f"/@{owner.handle}"]
    for path in paths:
        await page.goto(path)
        assert await page.evaluate(nameless) == [], path
        assert await page.locator("h1").count() == 1, path
    await sign_up(page, "Ada")
    for path in ["/", "/upload", "/account", *paths[2:]]:
        await page.goto(path)
        assert await page.evaluate(nameless) == [], path
        assert await page.locator("h1").count() == 1, path
