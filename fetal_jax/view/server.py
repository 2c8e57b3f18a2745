"""The HTTP interface of a session: static files and a small JSON API, both behind the guard."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from fetal_jax.errors import UserError, before_writing
from fetal_jax.view import agreement, examinations, exports
from fetal_jax.view.security import LOG, Guard
from fetal_jax.view.session import Session
from fetal_jax.view.store import Conflict

PAGE = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def app(session: Session, token: str = "") -> Starlette:
    """Make the ASGI application of a session; with a token, /api/ requires it."""

    def about(_: Request) -> Response:
        return JSONResponse(session.about())

    def changes(request: Request) -> Response:
        asked = (_number(request.query_params.get(key, "0")) for key in ("rows", "event", "exams", "remeasured"))
        found = session.changes(*asked)
        return JSONResponse(found | {"statuses": examinations.statuses(session, found)})

    def frame(request: Request) -> Response:
        return JSONResponse(session.frame(_number(request.path_params["number"])))

    def image(request: Request) -> Response:
        data, whole = session.picture(_number(request.path_params["number"]))
        return Response(data, media_type="image/png", headers={"x-picture": "frame" if whole else "overlay"})

    def change(request: Request, data: Any) -> Response:
        number = _number(request.path_params["number"])
        try:
            return JSONResponse(session.change(number, data))
        except Conflict:
            return JSONResponse(session.state(number), 409)

    def examination(request: Request) -> Response:
        return JSONResponse(examinations.shown(session, _number(request.path_params["number"])))

    def agreed(_: Request) -> Response:
        return JSONResponse(agreement.table(session))

    def preview(request: Request, data: Any) -> Response:
        return JSONResponse(examinations.preview(session, _number(request.path_params["number"]), data))

    def export(_: Request, __: Any) -> Response:
        return JSONResponse(exports.write(session))

    routes = [Route(_address(path), _static(path)) for path in sorted(PAGE.iterdir()) if path.suffix in TYPES]
    routes += [
        Route("/api/about", _replying(about)),
        Route("/api/changes", _replying(changes)),
        Route("/api/frames/{number}", _replying(frame)),
        Route("/api/frames/{number}/image", _replying(image)),
        Route("/api/frames/{number}/events", _posted(change), methods=["POST"]),
        Route("/api/frames/{number}/preview", _posted(preview), methods=["POST"]),
        Route("/api/examinations/{number}", _replying(examination)),
        Route("/api/agreement", _replying(agreed)),
        Route("/api/export", _posted(export), methods=["POST"]),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, page=session.page, token=token)])


def _address(path: Path) -> str:
    return "/" if path.name == "index.html" else f"/{path.name}"


def _static(path: Path) -> Callable[[Request], Response]:
    def serve(_: Request) -> Response:
        return FileResponse(path, media_type=TYPES[path.suffix])

    return serve


def _replying(work: Callable[[Request], Response]) -> Callable[[Request], Response]:
    def reply(request: Request) -> Response:
        try:
            return work(request)
        except ValueError as e:
            return _refusal(400, str(e))
        except UserError as e:
            return _refusal(404, str(e))

    return reply


def _posted(work: Callable[[Request, Any], Response]) -> Callable[[Request], Any]:
    """Make an endpoint that takes JSON. `work` runs in a thread, like all synchronous endpoints."""
    from starlette.concurrency import run_in_threadpool

    async def reply(request: Request) -> Response:
        try:
            data = json.loads(await request.body(), parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return _refusal(400, "the body is not JSON")
        try:
            return await run_in_threadpool(work, request, data)
        except ValueError as e:
            return _refusal(400, str(e))
        except UserError as e:
            return _refusal(409, str(e))
        except OSError as e:
            return _refusal(507, f"cannot be written ({e.strerror}): {before_writing(e)}")

    return reply


def _refusal(status: int, reason: str) -> Response:
    LOG.warning("refused (%d)", status)
    return JSONResponse({"error": reason}, status)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError("a frame's number is a whole number")
    return int(text)


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
