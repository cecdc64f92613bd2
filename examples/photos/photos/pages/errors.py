"""What went wrong, as a page for people and as JSON for programs."""

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException as AnyHTTPException

from millions import log
from millions.errors import UnavailableError
from photos.pages.rendering import LoginNeededError, environment, page, viewer

WORDS = {
    403: ("Not yours", "Only the owner can do this."),
    404: ("Nothing here", "This page does not exist, or not any more."),
    405: ("Not like this", "This address does not answer to that."),
    413: ("Too large", "That was more than we take in one go."),
    422: ("That did not fit", "Something in the form or the address was not as it should be."),
    503: ("Back in a moment", "Something we stand on does not answer. Please try again shortly."),
}
UNAVAILABLE = 503
RETRY_AFTER_S = 5
UNKNOWN = ("Something broke", "It is our fault. Please try again in a moment.")


def add_to(app: FastAPI) -> None:
    """Have `app` answer errors in our words."""
    app.add_exception_handler(AnyHTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(LoginNeededError, _login_needed)
    app.add_exception_handler(UnavailableError, _unavailable)
    app.add_exception_handler(Exception, _broken)


def for_program(request: Request) -> bool:
    """Whether the answer is read by a program."""
    return request.url.path.startswith("/api/")


async def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException | AnyHTTPException) else 500
    if for_program(request):
        detail = getattr(error, "detail", "")
        return JSONResponse({"detail": detail}, status, headers=getattr(error, "headers", None))
    return await _page(request, status)


async def _invalid(request: Request, error: Exception) -> Response:
    if for_program(request) and isinstance(error, RequestValidationError):
        wrong = [{"where": list(each["loc"]), "because": each["msg"]} for each in error.errors()]
        return JSONResponse({"detail": "The request is not as it should be.", "wrong": wrong}, 422)
    return await _page(request, 422)


async def _login_needed(request: Request, _: Exception) -> Response:
    if for_program(request):
        return JSONResponse({"detail": "Log in first: POST /api/session."}, 401)
    target = request.url.path if request.method == "GET" else "/"
    return RedirectResponse(f"/login?next={target}", 303)


async def _unavailable(request: Request, error: Exception) -> Response:
    """An engine does not answer: said without asking one."""
    log.warning("unavailable", path=request.url.path, because=str(error))
    answer = _bare(request, UNAVAILABLE)
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


async def _broken(request: Request, _: Exception) -> Response:
    """A fault of ours; Millions logs it."""
    return _bare(request, 500)


def _bare(request: Request, status: int) -> Response:
    """An answer for which neither session nor database is needed."""
    title, words = WORDS.get(status, UNKNOWN)
    if for_program(request):
        return JSONResponse({"detail": f"{title}. {words}"}, status)
    given = {"me": None, "flashes": (), "path": request.url.path}
    text = environment.get_template("error.html").render(given, title=title, words=words)
    return HTMLResponse(text, status)


async def _page(request: Request, status: int) -> Response:
    title, words = WORDS.get(status, UNKNOWN)
    me = await viewer(request)
    return await page(request, "error.html", me, status=status, title=title, words=words)
