"""A photo's page, uploading one, and what can be done to it: like, comment, delete."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, File, Form, HTTPException, Request, Response, UploadFile

from photos import cards, comments, darkroom, library, likes, pictures, views
from photos.pages.profiles import follows_person, person_or_404
from photos.pages.rendering import Member, Viewer, flash, go, inside, page
from photos.uploads import content_of

router = APIRouter()

MORE = 6
CAPTION_LONGEST = 500
Field = Annotated[str, Form()]


@router.get("/upload")
async def upload_form(request: Request, me: Member) -> Response:
    return await _upload_form(request, me)


@router.post("/upload")
async def upload(
    request: Request,
    me: Member,
    file: Annotated[UploadFile | None, File()] = None,
    caption: Field = "",
) -> Response:
    caption = caption.strip()
    if len(caption) > CAPTION_LONGEST:
        wrong = f"The caption is longer than {CAPTION_LONGEST} characters."
        return await _upload_form(request, me, wrong=wrong, caption=caption)
    try:
        photo_id = await darkroom.publish(me.id, await content_of(file), caption)
    except pictures.RefusedPictureError as error:
        return await _upload_form(request, me, wrong=str(error), caption=caption)
    await flash(request, "Your picture is shared.")
    return go(f"/@{me.handle}/{photo_id}")


@router.get("/@{handle}/{photo_id:uuid}")
async def photo(request: Request, handle: str, photo_id: UUID, me: Viewer) -> Response:
    owner = await person_or_404(handle)
    viewer = me.id if me else None
    card = await cards.one(viewer, owner.id, photo_id)
    if card is None:
        raise HTTPException(404)
    others = [each for each in await library.recent(owner.id) if each != photo_id][:MORE]
    return await page(
        request,
        "photo.html",
        me,
        photo=card,
        follows=await follows_person(me, owner.id),
        views=await views.seen(photo_id, counted=viewer != owner.id),
        comments=await comments.of((owner.id, photo_id)),
        more=await cards.of(viewer, [(owner.id, each) for each in others]),
    )


@router.post("/@{handle}/{photo_id:uuid}/like")
async def like(handle: str, photo_id: UUID, me: Member, back: Field = "") -> Response:
    owner = await person_or_404(handle)
    _found(await likes.like((owner.id, photo_id), me.id))
    return go(f"{inside(back)}#p-{photo_id}")


@router.post("/@{handle}/{photo_id:uuid}/unlike")
async def unlike(handle: str, photo_id: UUID, me: Member, back: Field = "") -> Response:
    owner = await person_or_404(handle)
    _found(await likes.unlike((owner.id, photo_id), me.id))
    return go(f"{inside(back)}#p-{photo_id}")


@router.post("/@{handle}/{photo_id:uuid}/comments")
async def comment(
    request: Request, handle: str, photo_id: UUID, me: Member, text: Field = ""
) -> Response:
    owner = await person_or_404(handle)
    text = text.strip()
    if 0 < len(text) <= comments.LONGEST:
        _found(await comments.add((owner.id, photo_id), me.id, text) is not None)
    else:
        words = f"A comment has 1 to {comments.LONGEST} characters."
        await flash(request, words, kind="bad")
    return go(f"/@{owner.handle}/{photo_id}#comments")


@router.post("/@{handle}/{photo_id:uuid}/comments/{comment_id:uuid}/delete")
async def delete_comment(handle: str, photo_id: UUID, comment_id: UUID, me: Member) -> Response:
    owner = await person_or_404(handle)
    _found(await comments.remove((owner.id, photo_id), comment_id, by=me.id))
    return go(f"/@{owner.handle}/{photo_id}#comments")


@router.post("/@{handle}/{photo_id:uuid}/delete")
async def delete(request: Request, handle: str, photo_id: UUID, me: Member) -> Response:
    owner = await person_or_404(handle)
    if owner.id != me.id:
        raise HTTPException(403)
    _found(await library.remove(me.id, photo_id))
    await flash(request, "The photo is deleted.")
    return go(f"/@{me.handle}")


def _found(done: bool) -> None:  # noqa: FBT001
    if not done:
        raise HTTPException(404)


async def _upload_form(
    request: Request, me: Member, *, wrong: str = "", caption: str = ""
) -> Response:
    return await page(
        request,
        "upload.html",
        me,
        status=422 if wrong else 200,
        max_mib=pictures.MAX_UPLOAD_MIB,
        accept=",".join(pictures.ACCEPT),
        wrong=wrong,
        caption=caption,
    )
