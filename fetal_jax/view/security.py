"""The guard of every request: checks Host, Origin and token, limits bytes and seconds, adds security headers."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import re
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 64 * 2**10
"""Largest request in bytes. An answer with the longest comment takes under 20,000."""
BODY_SECONDS = 10.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
LOG = logging.getLogger("fetal_jax.view")
"""Refusals, by kind: no address, name or content of a request is logged."""


class Refused(Exception):
    """A request that is not served: HTTP status and reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Guard:
    """ASGI middleware. With a token, everything under /api/ needs `Authorization: Bearer TOKEN`.

    A POST must name its page (`Session.page`) by `X-Page`, and other requests that name one must name the right one: a
    tab may have been left open while the server was restarted for another reader.
    """

    def __init__(self, app: ASGIApp, page: str, token: str = "") -> None:
        self._app, self._page, self._token = app, page, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        started = False

        async def guarded_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                kept = [(k, v) for k, v in message.get("headers", []) if k.decode().lower() not in HEADERS]
                message["headers"] = kept + [(k.encode(), v.encode()) for k, v in HEADERS.items()]
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, _limited(await _body(scope, receive), receive), guarded_send)
        except Refused as e:
            LOG.warning("refused (%d): %s", e.status, e)
            if not started:
                await JSONResponse({"error": str(e)}, e.status)(scope, receive, guarded_send)

    def _check(self, scope: Scope) -> None:
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        if sum(k.lower() == b"host" for k, _ in scope["headers"]) != 1 or not self._is_ours(headers["host"]):
            raise Refused(421, "foreign Host: open the address that fetal-jax view printed")
        if "origin" in headers and headers["origin"] != f"http://{headers['host']}":
            raise Refused(403, "foreign Origin")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Refused(403, "asked by another page")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            raise Refused(405, "method not allowed")
        if scope["method"] == "POST" and headers.get("content-type", "").partition(";")[0] != "application/json":
            raise Refused(415, "a body is application/json")
        given = headers.get("authorization", "").removeprefix("Bearer ").encode("latin-1")
        if self._token and scope["path"].startswith("/api/") and not hmac.compare_digest(given, self._token.encode()):
            raise Refused(401, "token missing or wrong: open the whole address that fetal-jax view printed")
        unsaid = "" if scope["method"] == "POST" else self._page
        if scope["path"].startswith("/api/") and headers.get("x-page", unsaid) != self._page:
            raise Refused(412, "this page is of another reader or folder: reload it")

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this machine. A page of another site can only send a name of its own.

        With a token the server can be reached from outside: by an IP address, which DNS rebinding cannot fake, or by
        this machine's name.
        """
        if not re.fullmatch(r"[\w.:\[\]-]+", host):
            return False
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in LOOPBACK or not self._token:
            return name in LOOPBACK
        with suppress(ValueError):
            ipaddress.ip_address(name)
            return True
        return name in (socket.gethostname().lower(), socket.getfqdn().lower())


async def _body(scope: Scope, receive: Receive) -> bytes:
    """Read the whole body, within `MAX_BODY` and `BODY_SECONDS`."""
    if scope["method"] != "POST":
        return b""
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "the request ended early")
                body += message.get("body", b"")
                if len(body) > MAX_BODY:
                    raise Refused(413, f"a request has at most {MAX_BODY} bytes")
                if not message.get("more_body"):
                    return body
    except TimeoutError:
        raise Refused(408, "the request took too long") from None


def _limited(body: bytes, receive: Receive) -> Receive:
    """Make a `receive` that returns the body once, then the messages of the connection."""
    given = False

    async def once() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once
