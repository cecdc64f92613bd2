"""What goes in and comes out of the API; FastAPI makes the OpenAPI document of it."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from photos import comments, people
from photos.cards import Card

Words = Annotated[str, StringConstraints(strip_whitespace=True)]


class Login(BaseModel):
    """A handle and its password."""

    handle: str = Field(max_length=30)
    password: str = Field(max_length=200)


class SignUp(Login):
    """A new account."""

    name: Words = Field(min_length=1, max_length=60)


class NewComment(BaseModel):
    """Something to say."""

    text: Words = Field(min_length=1, max_length=comments.LONGEST)


class Person(BaseModel):
    """A person as everybody sees them."""

    id: UUID
    handle: str
    name: str
    bio: str
    photos: int
    followers: int
    following: int

    @classmethod
    def of(cls, person: people.Person) -> Self:
        return cls.model_validate(person, from_attributes=True)


class Session(BaseModel):
    """Who is logged in; `csrf_token` goes into the header X-CSRF-Token of calls that change."""

    me: Person
    csrf_token: str


class Profile(Person):
    """A person, and whether who asks follows them."""

    followed: bool


class Photo(BaseModel):
    """A photo; its addresses are empty until it is ready."""

    id: UUID
    owner: Person
    caption: str
    width: int
    height: int
    colour: str
    ready: bool
    small_url: str
    large_url: str
    likes: int
    comments: int
    liked: bool
    at: datetime
    url: str

    @classmethod
    def of(cls, card: Card) -> Self:
        return cls.model_validate(card, from_attributes=True)


class Photos(BaseModel):
    """A page of photos; `older` is the address of the next one."""

    photos: list[Photo]
    older: str | None = None

    @classmethod
    def of(cls, cards: list[Card], older: str | None = None) -> Self:
        return cls(photos=[Photo.of(each) for each in cards], older=older)


class Comment(BaseModel):
    """A comment with its author."""

    id: UUID
    author: Person
    text: str
    at: datetime
