"""The page served: to this machine, or to those who know a password."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from basrelief.errors import ConfigError, MissingExtraError
from basrelief.io import FORMATS
from basrelief.limits import limits
from basrelief.web.service import PICTURES, LibraryService

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

_FIRST_PORT, _PORTS = 7860, 100
_HEADER_BYTES = 32 << 10
_START_SECONDS, _STOP_SECONDS = 30.0, 1


@dataclass(frozen=True)
class Address:
    """Where the page is served.

    Attributes:
        host: Address to listen at.
        port: Port; the next free one from 7860 when 0.
        auth: Name and password that are asked for, or None.
        names: Further host names under which the page is reached, e.g. those of a reverse proxy.

    Raises:
        ConfigError: If others than this machine could come in without a password.
    """

    host: str = "127.0.0.1"
    port: int = 0
    auth: tuple[str, str] | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that strangers are asked."""
        if self.auth is None and not _is_local(self.host):
            raise ConfigError(f"host must be this machine without a password, but got {self.host!r}. Add --auth NAME:PASSWORD.")
        if self.auth is not None and not all(self.auth):
            raise ConfigError("auth must be NAME:PASSWORD, but got an empty part. Give both.")
        for name in self.names:
            if not name or not name.isascii() or any(c in name for c in "/:@*[] "):
                raise ConfigError(f"allow-host must be a host name without port, but got {name!r}. Give e.g. demo.example.org.")

    @property
    def hosts(self) -> frozenset[str]:
        """Every host name under which the page is reached, lower case."""
        return frozenset({"localhost", "127.0.0.1", "::1", self.host.lower(), *(name.lower() for name in self.names)})


class RunningPage:
    """The page, served in a thread until it is closed.

    Attributes:
        url: Its address.
    """

    def __init__(self, url: str, *, server: uvicorn.Server, sock: socket.socket) -> None:
        self.url, self._server = url, server
        self._thread = threading.Thread(target=server.run, args=([sock],), name="basrelief-page", daemon=True)
        self._thread.start()
        end = time.monotonic() + _START_SECONDS
        while not server.started and self._thread.is_alive() and time.monotonic() < end:
            time.sleep(0.01)
        if not server.started:
            raise ConfigError(f"page must start within {_START_SECONDS:.0f} seconds, but did not. See the messages above.")

    def close(self) -> None:
        """Stop serving; what is being answered gets a second to end."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it would log every stream that is cut off
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS + 0.5)


def serve(service: LibraryService, address: Address | None = None) -> RunningPage:
    """Serve the page in a thread.

    Args:
        service: The library behind it.
        address: Where; this machine alone when None.

    Raises:
        ConfigError: If the port is in use.
        MissingExtraError: If Gradio is not installed.
    """
    address = address or Address()
    sock = _listen(address)
    try:
        import uvicorn

        app = guarded_app(service, address)
    except ModuleNotFoundError as error:
        sock.close()
        raise MissingExtraError("the page must be drawn by gradio, but it is not installed. Install basrelief[app].") from error
    service.start()
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=limits().connections,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    name = f"[{address.host}]" if ":" in address.host else "localhost" if address.host == "0.0.0.0" else address.host
    return RunningPage(f"http://{name}:{sock.getsockname()[1]}/", server=uvicorn.Server(config), sock=sock)


def guarded_app(service: LibraryService, address: Address) -> ASGIApp:
    """Put the page together as an ASGI application: Gradio's, our uploads and login, and the guard before all of them."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(service.files.uploads)
    import fastapi
    import gradio
    from fastapi.exceptions import RequestValidationError
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response

    from basrelief.web.guard import UPLOAD, Guard
    from basrelief.web.login import Logins
    from basrelief.web.page import LOOK, build, takes
    from basrelief.web.uploads import receive_uploads, upload_progress

    async def malformed(_request: Request, _error: Exception) -> Response:
        return PlainTextResponse("Malformed request.", 422)

    gradio.set_static_paths([service.files.shown])
    page = build(service)
    logins = Logins(*address.auth) if address.auth else None
    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    kinds = (*PICTURES, *FORMATS)
    app.add_route(UPLOAD, partial(receive_uploads, kept=service.files, kinds=kinds), methods=["POST"])
    app.add_route("/gradio_api/upload_progress", upload_progress)
    if logins is not None:
        app.add_route("/login", logins.log_in, methods=["POST"])
        app.add_route("/logout", logins.log_out, methods=["POST"])
    options: dict[str, Any] = {"exception_handlers": {RequestValidationError: malformed}}
    gradio.mount_gradio_app(
        app,
        page,
        path="/",
        app_kwargs=options,
        max_file_size=limits().upload_bytes,
        show_error=False,
        enable_monitoring=False,
        run_history=False,
        ssr_mode=False,
        footer_links=[],
        mcp_server=False,
        pwa=False,
        **LOOK,
    )
    page.has_launched = True  # Gradio checks that a file a request names is an upload only where this is set, and mounting does not
    return Guard(app, address.hosts, service.files.__contains__, partial(takes, page), logins)


def _listen(address: Address) -> socket.socket:
    """Open the socket.

    Raises:
        ConfigError: If the port is in use, or the address is not this machine's.
    """
    ports = [address.port] if address.port else range(_FIRST_PORT, _FIRST_PORT + _PORTS)
    reason = ""
    for port in ports:
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(address.host, port, type=socket.SOCK_STREAM)[0]
            sock = socket.socket(family, kind, protocol)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(place)
                sock.listen(128)
            except OSError:
                sock.close()
                raise
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            return sock
    where = f"{address.host}, port {address.port or f'{_FIRST_PORT} to {_FIRST_PORT + _PORTS - 1}'}"
    raise ConfigError(f"page cannot be served at {where}: {reason.lower()}. Choose another --port or --host.")


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
