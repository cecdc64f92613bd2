"""Lets a Django application say which route it found, for metrics and the access log.

Django keeps it on its own request object only; nothing else of Django is touched, and Django is
not imported here.
"""

from __future__ import annotations

from typing import Any

MODULE = "django.core.handlers.asgi"


def name_routes(app: Any) -> None:
    """Make `app` note its route in the ASGI scope, if it is Django's handler."""
    if not any(each.__module__ == MODULE for each in type(app).__mro__):
        return
    resolve = app.resolve_request

    def resolve_request(request: Any) -> Any:
        match = resolve(request)
        request.scope["millions.route"] = f"/{match.route}"
        return match

    app.resolve_request = resolve_request
