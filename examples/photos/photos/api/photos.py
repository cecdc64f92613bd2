"""Photos, likes, comments and the feed, for programs."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, File, Form, HTTPException, UploadFile

from photos import cards, comments, darkroom, feed, library, likes, pictures
from photos.api.shapes import Comment, NewComment, Photo, Photos
from photos.pages.rendering import Member, Viewer
from photos.settings import GRID, PAGE
from photos.uploads import content_of

router = APIRouter(prefix="/api", tags=["photos"])


@router.get("/feed")
async def read_feed(me: Member, before: str = "") -> Photos:
    """What those one follows have shared, newest first."""
    entries = await feed.read(me.id, before=feed.cursor(before), limit=PAGE)
    older = f"/api/feed?before={entries[-1].member}" if len(entries) == PAGE else None
    references = [(each.owner_id, each.photo_id) for each in entries]
    return Photos.of(await cards.of(me.id, references), older)


@router.get("/explore")
async def explore(me: Viewer, before: UUID | None = None) -> Photos:
    """The newest photos of everyone."""
    newest = await library.newest(before=before, limit=GRID)
    older = f"/api/explore?before={newest[-1][1]}" if len(newest) == GRID else None
    return Photos.of(await cards.of(me.id if me else None, newest), older)


@router.post("/photos", status_code=201)
async def upload(
    me: Member,
    file: Annotated[UploadFile, File()],
    caption: Annotated[str, Form(max_length=500)] = "",
) -> Photo:
    """Share a picture: JPEG, PNG or WebP. Its sizes are made a moment later."""
    try:
        photo_id = await darkroom.publish(me.id, await content_of(file), caption.strip())
    except pictures.RefusedPictureError as error:
        raise HTTPException(422, str(error)) from error
    return await photo(me.id, photo_id, me)


@router.get("/photos/{owner_id}/{photo_id}")
async def photo(owner_id: UUID, photo_id: UUID, me: Viewer) -> Photo:
    """One photo."""
    card = await cards.one(me.id if me else None, owner_id, photo_id)
    if card is None:
        raise HTTPException(404, "There is no such photo.")
    return Photo.of(card)


@router.delete("/photos/{owner_id}/{photo_id}", status_code=204)
async def delete(owner_id: UUID, photo_id: UUID, me: Member) -> None:
    """Delete a photo of one's own."""
    if owner_id != me.id:
        raise HTTPException(403, "Only the owner can delete a photo.")
    _found(await library.remove(owner_id, photo_id))


@router.put("/photos/{owner_id}/{photo_id}/like")
async def like(owner_id: UUID, photo_id: UUID, me: Member) -> Photo:
    """Like a photo; a second time changes nothing."""
    _found(await likes.like((owner_id, photo_id), me.id))
    return await photo(owner_id, photo_id, me)


@router.delete("/photos/{owner_id}/{photo_id}/like")
async def unlike(owner_id: UUID, photo_id: UUID, me: Member) -> Photo:
    """Take a like back; a second time changes nothing."""
    _found(await likes.unlike((owner_id, photo_id), me.id))
    return await photo(owner_id, photo_id, me)


@router.get("/photos/{owner_id}/{photo_id}/comments")
async def read_comments(owner_id: UUID, photo_id: UUID) -> list[Comment]:
    """The newest comments, oldest of them first."""
    found = await comments.of((owner_id, photo_id))
    return [Comment.model_validate(each, from_attributes=True) for each in found]


@router.post("/photos/{owner_id}/{photo_id}/comments", status_code=201)
async def comment(owner_id: UUID, photo_id: UUID, me: Member, new: NewComment) -> list[Comment]:
    """Say something under a photo."""
    _found(await comments.add((owner_id, photo_id), me.id, new.text) is not None)
    return await read_comments(owner_id, photo_id)


@router.delete("/photos/{owner_id}/{photo_id}/comments/{comment_id}", status_code=204)
async def delete_comment(owner_id: UUID, photo_id: UUID, comment_id: UUID, me: Member) -> None:
    """Delete a comment, as its author or as the photo's owner."""
    _found(await comments.remove((owner_id, photo_id), comment_id, by=me.id))


def _found(done: bool) -> None:  # noqa: FBT001
    if not done:
        raise HTTPException(404, "There is no such photo or comment.")
