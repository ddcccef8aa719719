"""Middleware in front of the page: checks hosts, origins, paths, sizes and logins, and sets security headers."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from basrelief.limits import limits
from basrelief.web.login import LoginSessions

QUEUE_PATH = "/gradio_api/queue/join"
DIRECT_PATH = "/gradio_api/run/predict"
"""Calls that bypass Gradio's queue, such as searches."""

UPLOAD_PATH = "/gradio_api/upload"

_GET_PATHS = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)|/(assets|static|svelte)/[\w./@~+-]+"
    r"|/gradio_api/(info|theme\.css|startup-events|queue/data|upload_progress|app_id|heartbeat/[\w-]{1,64}|file=/.+)"
)
_POST_PATHS = re.compile(rf"/(login|logout)|{QUEUE_PATH}|{DIRECT_PATH}|{UPLOAD_PATH}|/gradio_api/(cancel|reset)/?")
_PUBLIC_PATHS = frozenset({"/login", "/favicon.ico", "/robots.txt"})
_MULTIPART_BYTES = 64 << 10
_MAX_VALUES = 32
_MAX_SESSION_CHARACTERS = 128

_POLICY = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; frame-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=(), display-capture=()",
}


@dataclass(frozen=True)
class Guard:
    """ASGI middleware in front of the whole page.

    Attributes:
        app: Application that answers accepted requests.
        hosts: Host names of the page in lower case, in addition to the address a connection was made to.
        is_upload: Returns whether a path named in a request is a stored upload.
        is_valid_call: Returns whether the page has a function of this number that takes such values, and is called that way (the last
            argument: through the queue).
        logins: Sessions, or None if there is no password.
    """

    app: ASGIApp
    hosts: frozenset[str]
    is_upload: Callable[[str], bool]
    is_valid_call: Callable[[int, list[Any], bool], bool]
    logins: LoginSessions | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or reject it with a short message."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": HTTPStatus.FORBIDDEN})
        else:
            await self._answer(_without_proxy_headers(scope), receive, _SecuredSend(send))

    async def _answer(self, scope: Scope, receive: Receive, send: _SecuredSend) -> None:
        try:
            self._check_origin_and_path(Request(scope))
            answer: ASGIApp | None = self._login_response(Request(scope))
            if answer is None:
                receive = _LimitedReceive(receive, _max_bytes(scope["path"]))
                if scope["path"] in (QUEUE_PATH, DIRECT_PATH):
                    receive = await self._checked_call(receive, queued=scope["path"] == QUEUE_PATH)
                answer = self.app
            await answer(scope, receive, send)
        except HTTPException as refusal:
            if not send.started:
                await PlainTextResponse(refusal.detail, refusal.status_code, refusal.headers)(scope, receive, send)

    def _check_origin_and_path(self, request: Request) -> None:
        """Reject requests for other hosts, from other sites, and for paths the page does not use."""
        host = request.headers.getlist("host")
        name = _host_name(host[0]) if len(host) == 1 else ""
        if name not in self.hosts and name != (request.scope.get("server") or ("", 0))[0]:
            raise HTTPException(HTTPStatus.MISDIRECTED_REQUEST, "Unknown host name. Start the page with --allow-host NAME to allow it.")
        if not _same_origin(request.headers, host[0]):
            raise HTTPException(HTTPStatus.FORBIDDEN, "Requests from other sites are rejected.")
        paths = _GET_PATHS if request.method in ("GET", "HEAD") else _POST_PATHS if request.method == "POST" else None
        if paths is None:
            raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed.")
        if not paths.fullmatch(request.url.path):
            raise HTTPException(HTTPStatus.NOT_FOUND, "Not found.")

    def _login_response(self, request: Request) -> Response | None:
        """Return the login form for a visitor who has not logged in, None for others."""
        if self.logins is None or request.url.path in _PUBLIC_PATHS or self.logins.is_logged_in(request):
            return None
        if request.url.path == "/":
            return self.logins.login_form()
        raise HTTPException(HTTPStatus.UNAUTHORIZED, "Log in first.")

    async def _checked_call(self, receive: Receive, *, queued: bool) -> Receive:
        """Read the whole call of a page function and check it before Gradio sees it."""
        body = b"".join([part async for part in _body_parts(receive)])
        try:
            self._check_call(json.loads(body), queued=queued)
        except (ValueError, RecursionError) as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, "Malformed request.") from error
        message: Message = {"type": "http.request", "body": body, "more_body": False}
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return message

        return replay

    def _check_call(self, call: Any, *, queued: bool) -> None:  # noqa: ANN401 - clients can send anything
        """Check that a call names a function, passes a short list of values, and names no files but uploads.

        Raises:
            ValueError: If it is malformed.
            HTTPException: If it names another file.
        """
        if not isinstance(call, dict) or not isinstance(call.get("data"), list) or len(call["data"]) > _MAX_VALUES:
            raise ValueError("not a call")
        session, number = call.get("session_hash"), call.get("fn_index")
        if not isinstance(session, str) or not re.fullmatch(rf"[\w-]{{1,{_MAX_SESSION_CHARACTERS}}}", session) or type(number) is not int:
            raise ValueError("no session hash or function number")
        if not self.is_valid_call(number, call["data"], queued):
            raise ValueError("no such function, or wrong values")
        for record in _dictionaries(call["data"]):
            if "path" in record and not (isinstance(record["path"], str) and self.is_upload(record["path"])):
                raise HTTPException(HTTPStatus.BAD_REQUEST, "The upload has been deleted. Upload it again.")


class _SecuredSend:
    """Sends a response with security headers, and a nonce on the scripts of a page."""

    def __init__(self, send: Send) -> None:
        self._send, self.started = send, False
        self._nonce = secrets.token_urlsafe(16)
        self._held: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name in [name for name in headers if name.startswith("access-control-")]:
                del headers[name]
            headers.update(_HEADERS)
            headers["Content-Security-Policy"] = _POLICY.format(nonce=self._nonce)
            if headers.get("content-type", "").startswith("text/html"):
                self._held, self._body = message, b""
                return
        if self._held is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            page = _with_nonce(self._body, self._nonce)
            MutableHeaders(scope=self._held)["Content-Length"] = str(len(page))
            await self._send(self._held)
            self._held, message = None, {"type": "http.response.body", "body": page}
        await self._send(message)


class _LimitedReceive:
    """Receives a body of at most `max_bytes`, each part within `Limits.idle_seconds`."""

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive, self._left, self._complete = receive, max_bytes, False

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()  # waits for the visitor to disconnect
        try:
            message = await asyncio.wait_for(self._receive(), limits().idle_seconds)
        except TimeoutError as error:
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "The request was too slow.") from error
        self._left -= len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._left < 0:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large.")
        return message


def _without_proxy_headers(scope: Scope) -> Scope:
    """Drop what proxies claim, except whether the connection was encrypted, which only affects links and cookies."""
    headers = scope["headers"]
    encrypted = (b"x-forwarded-proto", b"https") in headers
    kept = [(name, value) for name, value in headers if not name.startswith(b"x-forwarded-") and name != b"forwarded"]
    return {**scope, "headers": kept, "scheme": "https" if encrypted else scope["scheme"]}


def _host_name(host: str) -> str:
    """Return the name in a Host header in lower case, without port and brackets; empty if it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        return (parts.hostname or "") if parts.netloc == host and "@" not in host and parts.port != 0 else ""
    except ValueError:
        return ""


def _same_origin(headers: Headers, host: str) -> bool:
    """Return whether a request was made by the page itself, by a program, or by opening the page."""
    origins, site = headers.getlist("origin"), headers.get("sec-fetch-site", "none")
    if origins:
        return origins in ([f"http://{host}"], [f"https://{host}"])
    return site in ("same-origin", "none") or (headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document")


def _max_bytes(path: str) -> int:
    return limits().upload_bytes + _MULTIPART_BYTES if path == UPLOAD_PATH else limits().request_bytes


async def _body_parts(receive: Receive) -> Any:  # noqa: ANN401 - an asynchronous iterator of bytes
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(HTTPStatus.BAD_REQUEST, "The request ended early.")
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - clients can send anything
    """Yield every dictionary within a JSON value."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _with_nonce(page: bytes, nonce: str) -> bytes:
    """Give the scripts of a page the nonce; in values within them Gradio escapes `<`."""
    return re.sub(rb"<script(?=[\s>])", b'<script nonce="' + nonce.encode("ascii") + b'"', page)
