"""One's own account: name, password, sessions, and its end."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response

from millions import sessions
from photos import accounts, attempts, erasure, people
from photos.pages.entrance import TOO_MANY, address_of
from photos.pages.rendering import Blank, Member, flash, go, page

router = APIRouter()

NOT_YOURS = "That is not your password."
BIO_LONGEST, NAME_LONGEST = 300, 60
Field = Annotated[str, Form()]


@router.get("/account")
async def account(request: Request, me: Member) -> Response:
    return await _account(request, me)


@router.post("/account/profile")
async def change_profile(
    request: Request, me: Member, name: Field = "", bio: Field = ""
) -> Response:
    name, bio = name.strip(), bio.strip()
    wrong: dict[str, str] = {}
    if not 0 < len(name) <= NAME_LONGEST:
        wrong["name"] = f"A name has 1 to {NAME_LONGEST} characters."
    if len(bio) > BIO_LONGEST:
        wrong["bio"] = f"At most {BIO_LONGEST} characters, please."
    if wrong:
        return await _account(request, me, form=Blank(name=name, bio=bio), **wrong)
    await people.change(me.id, name=name, bio=bio)
    await flash(request, "Your profile is saved.")
    return go("/account")


@router.post("/account/password")
async def change_password(
    request: Request, me: Member, current: Field = "", password: Field = ""
) -> Response:
    if problem := accounts.wrong_password(password):
        return await _account(request, me, password=problem)
    if problem := await _unproven(request, me, current):
        return await _account(request, me, current=problem)
    await accounts.change_password(me.id, password)
    await sessions.revoke_user(me.id)
    await sessions.login(request, me.id)
    await flash(request, "Your password is changed; other devices are logged out.")
    return go("/account")


@router.post("/account/sessions")
async def log_out_everywhere(request: Request, me: Member) -> Response:
    await sessions.revoke_user(me.id)
    await sessions.logout(request)
    await flash(request, "You are logged out everywhere.")
    return go("/login")


@router.post("/account/delete")
async def delete(request: Request, me: Member, confirm: Field = "") -> Response:
    if problem := await _unproven(request, me, confirm):
        return await _account(request, me, confirm=problem)
    await erasure.delete_account(me.id)
    await sessions.logout(request)
    await flash(request, "Your account is deleted. Goodbye.")
    return go("/")


async def _unproven(request: Request, me: people.Person, password: str) -> str:
    """What keeps us from believing that this is `me`; empty when nothing does."""
    if not await attempts.allowed(handle=me.handle, address=address_of(request)):
        return TOO_MANY
    return "" if await accounts.knows(me.id, password) else NOT_YOURS


async def _account(
    request: Request, me: people.Person, *, form: Any = None, **wrong: str
) -> Response:
    return await page(
        request,
        "account.html",
        me,
        status=422 if wrong else 200,
        form=form or Blank(name=me.name, bio=me.bio),
        wrong=Blank(**wrong),
    )
