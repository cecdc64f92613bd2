"""Sessions and accounts, for programs."""

from fastapi import APIRouter, HTTPException, Request

from millions import sessions
from photos import accounts, attempts, people
from photos.api.shapes import Login, Person, Session, SignUp
from photos.pages.entrance import NOT_TOGETHER, TOO_MANY, address_of
from photos.pages.rendering import Member

router = APIRouter(prefix="/api", tags=["account"])


@router.post("/people", status_code=201)
async def sign_up(request: Request, new: SignUp) -> Session:
    """Make an account and log in."""
    if not await attempts.may_sign_up(address=address_of(request)):
        raise HTTPException(429, TOO_MANY)
    handle = new.handle.lower()
    wrong = accounts.wrong_with(name=new.name, handle=handle, password=new.password)
    if wrong:
        raise HTTPException(422, next(iter(wrong.values())))
    try:
        user_id = await accounts.sign_up(name=new.name, handle=handle, password=new.password)
    except accounts.HandleTakenError as error:
        raise HTTPException(409, f"@{handle} is taken.") from error
    await sessions.login(request, user_id)
    return await _session(request, await people.person(user_id))


@router.post("/session", status_code=201)
async def login(request: Request, given: Login) -> Session:
    """Log in."""
    handle, address = given.handle.lower(), address_of(request)
    if not await attempts.allowed(handle=handle, address=address):
        raise HTTPException(429, TOO_MANY)
    user_id = await accounts.prove(handle, given.password)
    if user_id is None:
        raise HTTPException(401, NOT_TOGETHER)
    await attempts.forgive(handle=handle, address=address)
    await sessions.login(request, user_id)
    return await _session(request, await people.person(user_id))


@router.get("/session")
async def me(request: Request, someone: Member) -> Session:
    """Who is logged in."""
    return await _session(request, someone)


@router.delete("/session", status_code=204)
async def logout(request: Request, _: Member) -> None:
    """Log out."""
    await sessions.logout(request)


async def _session(request: Request, person: people.Person | None) -> Session:
    if person is None:
        raise HTTPException(401, NOT_TOGETHER)
    return Session(me=Person.of(person), csrf_token=sessions.csrf_token(request))
