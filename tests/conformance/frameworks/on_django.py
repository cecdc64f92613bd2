"""The laws' application on Django's ASGI handler, with asynchronous views."""

import json

import deeds
import django
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, JsonResponse
from django.urls import path

from millions import Millions

settings.configure(
    SECRET_KEY="for the laws only",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=[],
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    LOGGING_CONFIG=None,
    USE_TZ=True,
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402  # after the settings


async def hello(_request: ASGIRequest, name: str) -> HttpResponse:
    return JsonResponse(await deeds.hello(name))


async def notes(request: ASGIRequest) -> HttpResponse:
    return JsonResponse(await deeds.add_note(json.loads(request.body)["words"]), status=201)


async def deed(request: ASGIRequest, deed: str) -> HttpResponse:
    return JsonResponse(await getattr(deeds, deed)(request.body.decode()))


async def count(request: ASGIRequest) -> HttpResponse:
    return JsonResponse(await deeds.count(request.GET["words"]))


async def upload(request: ASGIRequest) -> HttpResponse:
    return JsonResponse(await deeds.upload(request.GET["name"], request.body))


async def size(request: ASGIRequest) -> HttpResponse:
    return JsonResponse({"size": len(request.body)})


async def login(request: ASGIRequest) -> HttpResponse:
    return JsonResponse(await deeds.login(request, request.GET["user"]))


async def me(request: ASGIRequest) -> HttpResponse:
    return JsonResponse(await deeds.me(request))


async def asset(_request: ASGIRequest) -> HttpResponse:
    return JsonResponse(deeds.asset())


async def fail(_request: ASGIRequest) -> HttpResponse:
    raise RuntimeError("as it was asked to")


async def injected(_request: ASGIRequest) -> HttpResponse:
    return HttpResponse("", headers={"x-value": deeds.INJECTED})


urlpatterns = [
    path("hello/<str:name>", hello),
    path("notes", notes),
    path("deeds/<str:deed>", deed),
    path("count", count),
    path("upload", upload),
    path("size", size),
    path("login", login),
    path("me", me),
    path("asset", asset),
    path("fail", fail),
    path("injected", injected),
]

app = Millions(get_asgi_application())
