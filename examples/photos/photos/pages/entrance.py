"""Signing up, logging in, logging out."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from millions import sessions
from photos import accounts, attempts
from photos.pages.rendering import Blank, Viewer, flash, go, inside, page

router = APIRouter()

TOO_MANY = "Too many attempts. Please wait a quarter of an hour."
NOT_TOGETHER = "This handle and password do not go together."
Field = Annotated[str, Form()]


def address_of(request: Request) -> str:
    """Where a request comes from, as far as we can know."""
    return request.client.host if request.client else "unknown"


@router.get("/signup")
async def sign_up_form(request: Request, me: Viewer) -> Response:
    if me is not None:
        return go("/")
    return await page(request, "signup.html", None, form=Blank(), wrong=Blank())


@router.post("/signup")
async def sign_up(
    request: Request, name: Field = "", handle: Field = "", password: Field = ""
) -> Response:
    name, handle = name.strip()[:60], handle.strip().removeprefix("@").lower()
    wrong = accounts.wrong_with(name=name, handle=handle, password=password)
    if not wrong and not await attempts.may_sign_up(address=address_of(request)):
        wrong["name"] = TOO_MANY
    if not wrong:
        try:
            user_id = await accounts.sign_up(name=name, handle=handle, password=password)
        except accounts.HandleTakenError:
            wrong["handle"] = f"@{handle} is taken."
        else:
            await sessions.login(request, user_id)
            await flash(request, f"Welcome, {name}. Follow a few people, or share a picture.")
            return go("/")
    form, words = Blank(name=name, handle=handle), Blank(**wrong)
    return await page(request, "signup.html", None, status=422, form=form, wrong=words)


@router.get("/login")
async def login_form(request: Request, me: Viewer, next: str = "/") -> Response:  # noqa: A002
    if me is not None:
        return go(inside(next))
    return await page(request, "login.html", None, handle="", wrong="", next=inside(next))


@router.post("/login")
async def login(
    request: Request,
    handle: Field = "",
    password: Field = "",
    next: Field = "/",  # noqa: A002
) -> Response:
    handle = handle.strip().removeprefix("@").lower()[:30]
    address = address_of(request)
    status, wrong = 429, TOO_MANY
    if await attempts.allowed(handle=handle, address=address):
        user_id = await accounts.prove(handle, password)
        if user_id is not None:
            await attempts.forgive(handle=handle, address=address)
            await sessions.login(request, user_id)
            return go(inside(next))
        status, wrong = 422, NOT_TOGETHER
    given = {"handle": handle, "wrong": wrong, "next": inside(next)}
    return await page(request, "login.html", None, status=status, **given)


@router.post("/logout")
async def logout(request: Request) -> Response:
    await sessions.logout(request)
    return go("/login")
