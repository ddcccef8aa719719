"""What stands in front of the page: whose requests are answered, which addresses exist, how large a request is, what browsers may do."""

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
from basrelief.web.login import Logins

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
QUEUED, AT_ONCE, UPLOAD = "/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/upload"

_READ = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)|/(assets|static|svelte)/[\w./@~+-]+"
    r"|/gradio_api/(info|theme\.css|startup-events|queue/data|upload_progress|app_id|heartbeat/[\w-]{1,64}|file=/.+)"
)
_WRITE = re.compile(rf"/(login|logout)|{QUEUED}|{AT_ONCE}|{UPLOAD}|/gradio_api/(cancel|reset)/?")
_OPEN = frozenset({"/login", "/favicon.ico", "/robots.txt"})
_MULTIPART_BYTES = 64 << 10
_MOST_VALUES = 32
_SHORT = 128

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
        app: What answers the requests that are let through.
        hosts: Host names under which the page is reached, lower case, beside the address that a connection came to.
        is_upload: Tells whether a path that a request names is an upload that is kept.
        is_call: Tells whether a function of the page has a number, takes such values, and is called through the queue or at once.
        logins: The sessions, or None where no password is asked for.
    """

    app: ASGIApp
    hosts: frozenset[str]
    is_upload: Callable[[str], bool]
    is_call: Callable[[int, list[Any], bool], bool]
    logins: Logins | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it in a few words."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": HTTPStatus.FORBIDDEN})
        else:
            await self._answer(_forwarded(scope), receive, _Protected(send))

    async def _answer(self, scope: Scope, receive: Receive, send: _Protected) -> None:
        try:
            self._check(Request(scope))
            answer: ASGIApp | None = self._ask(Request(scope))
            if answer is None:
                receive = _Counted(receive, _most_bytes(scope["path"]))
                if scope["path"] in (QUEUED, AT_ONCE):
                    receive = await self._checked_call(receive, queued=scope["path"] == QUEUED)
                answer = self.app
            await answer(scope, receive, send)
        except HTTPException as refusal:
            if not send.started:
                await PlainTextResponse(refusal.detail, refusal.status_code, refusal.headers)(scope, receive, send)

    def _check(self, request: Request) -> None:
        """Refuse what comes from elsewhere, and addresses that the page does not use."""
        own = request.headers.getlist("host")
        name = _host_name(own[0]) if len(own) == 1 else ""
        if name not in self.hosts and name != (request.scope.get("server") or ("", 0))[0]:
            raise HTTPException(HTTPStatus.MISDIRECTED_REQUEST, "Unknown host name. Start the page with --allow-host NAME to serve it.")
        if not _same_origin(request.headers, own[0]):
            raise HTTPException(HTTPStatus.FORBIDDEN, "Requests from other sites are refused.")
        known = _READ if request.method in ("GET", "HEAD") else _WRITE if request.method == "POST" else None
        if known is None:
            raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed.")
        if not known.fullmatch(request.url.path):
            raise HTTPException(HTTPStatus.NOT_FOUND, "Not found.")

    def _ask(self, request: Request) -> Response | None:
        """The login form, or a refusal, for a visitor who has not logged in."""
        if self.logins is None or request.url.path in _OPEN or self.logins.admits(request):
            return None
        if request.url.path == "/":
            return self.logins.ask()
        raise HTTPException(HTTPStatus.UNAUTHORIZED, "Log in first.")

    async def _checked_call(self, receive: Receive, *, queued: bool) -> Receive:
        """Read a call of the page's functions whole, and check its form before Gradio sees it."""
        body = b"".join([part async for part in _parts(receive)])
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

    def _check_call(self, call: Any, *, queued: bool) -> None:  # noqa: ANN401 - anything may be sent
        """Check that a call names a function, brings a short list of values, and names no file but uploads.

        Raises:
            ValueError: If it does not.
        """
        if not isinstance(call, dict) or not isinstance(call.get("data"), list) or len(call["data"]) > _MOST_VALUES:
            raise ValueError("no call")
        session, number = call.get("session_hash"), call.get("fn_index")
        if not isinstance(session, str) or not re.fullmatch(rf"[\w-]{{1,{_SHORT}}}", session) or type(number) is not int:
            raise ValueError("no session or function")
        if not self.is_call(number, call["data"], queued):
            raise ValueError("no such function, or other values")
        for record in _records(call["data"]):
            if "path" in record and not (isinstance(record["path"], str) and self.is_upload(record["path"])):
                raise HTTPException(HTTPStatus.BAD_REQUEST, "The upload is not kept any more. Upload it again.")


class _Protected:
    """Sends an answer with the headers that tell browsers what the page may do."""

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


class _Counted:
    """Receives a body of so many bytes at most, each part within a time."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._left, self._whole = receive, most, False

    async def __call__(self) -> Message:
        if self._whole:
            return await self._receive()  # waits for the visitor to leave
        try:
            message = await asyncio.wait_for(self._receive(), limits().idle_seconds)
        except TimeoutError as error:
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "The request came too slowly.") from error
        self._left -= len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._left < 0:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large.")
        return message


def _forwarded(scope: Scope) -> Scope:
    """A request without what proxies claim; only whether it came encrypted is taken from them, which decides about nothing but links."""
    headers = scope["headers"]
    encrypted = (b"x-forwarded-proto", b"https") in headers
    kept = [(name, value) for name, value in headers if not name.startswith(b"x-forwarded-") and name != b"forwarded"]
    return {**scope, "headers": kept, "scheme": "https" if encrypted else scope["scheme"]}


def _host_name(host: str) -> str:
    """The name in a Host header, lower case, without port and brackets; empty where it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        return (parts.hostname or "") if parts.netloc == host and "@" not in host and parts.port != 0 else ""
    except ValueError:
        return ""


def _same_origin(headers: Headers, host: str) -> bool:
    """Whether a request was made by the page itself, by a program, or by opening the page."""
    origins, site = headers.getlist("origin"), headers.get("sec-fetch-site", "none")
    if origins:
        return origins in ([f"http://{host}"], [f"https://{host}"])
    return site in ("same-origin", "none") or (headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document")


def _most_bytes(path: str) -> int:
    return limits().upload_bytes + _MULTIPART_BYTES if path == UPLOAD else limits().request_bytes


async def _parts(receive: Receive) -> Any:  # noqa: ANN401 - an asynchronous iterator of bytes
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(HTTPStatus.BAD_REQUEST, "The request ended early.")
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


def _records(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - anything may be sent
    """Every dictionary within a JSON value."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _with_nonce(page: bytes, nonce: str) -> bytes:
    """Mark the scripts of a page as its own; in the values within them Gradio writes `<` as an escape."""
    return re.sub(rb"<script(?=[\s>])", b'<script nonce="' + nonce.encode("ascii") + b'"', page)
