"""Serve the page: to this machine, or to visitors with the password."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from basrelief.errors import ConfigError, MissingExtraError
from basrelief.index import Index
from basrelief.io import FORMATS
from basrelief.limits import limits
from basrelief.web.service import IMAGE_SUFFIXES, LibraryService

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
        host: Address to listen on.
        port: Port; 0 for the first free one from 7860.
        auth: User name and password, or None.
        host_names: Further host names of the page, e.g. that of a reverse proxy.

    Raises:
        ConfigError: If other machines could reach the page without a password, or a value is malformed.
    """

    host: str = "127.0.0.1"
    port: int = 0
    auth: tuple[str, str] | None = None
    host_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that only this machine can connect without a password."""
        if self.auth is None and not _is_local(self.host):
            raise ConfigError(f"Host {self.host!r} lets other machines connect, which needs a password. Add --auth NAME:PASSWORD.")
        if self.auth is not None and not all(self.auth):
            raise ConfigError("The user name or the password is empty. Give both, as --auth NAME:PASSWORD.")
        for name in self.host_names:
            if not name or not name.isascii() or any(c in name for c in "/:@*[] "):
                raise ConfigError(f"{name!r} is not a host name. Give --allow-host a name without scheme and port, e.g. demo.example.org.")

    @property
    def hosts(self) -> frozenset[str]:
        """Every host name of the page, in lower case."""
        return frozenset({"localhost", "127.0.0.1", "::1", self.host.lower(), *(name.lower() for name in self.host_names)})


class RunningPage:
    """A page that is served in a thread until it is closed.

    Attributes:
        url: Address of the page.
    """

    def __init__(self, url: str, *, server: uvicorn.Server, sock: socket.socket) -> None:
        self.url, self._server = url, server
        self._thread = threading.Thread(target=server.run, args=([sock],), name="basrelief-page", daemon=True)
        self._thread.start()
        end = time.monotonic() + _START_SECONDS
        while not server.started and self._thread.is_alive() and time.monotonic() < end:
            time.sleep(0.01)
        if not server.started:
            raise ConfigError(f"The page did not start within {_START_SECONDS:.0f} seconds. See the messages above.")

    def close(self) -> None:
        """Stop serving; running requests get one second to finish."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it would log every interrupted stream
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS + 0.5)


def serve(service: LibraryService, address: Address | None = None) -> RunningPage:
    """Serve the page in a thread.

    Args:
        service: The library behind the page.
        address: Where; only for this machine when None.

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
        raise MissingExtraError("The page needs Gradio, which is not installed. Run: pip install 'basrelief[app]'.") from error
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


def serve_until_interrupted(
    index: Index,
    address: Address | None = None,
    *,
    roots: Sequence[Path] = (),
    jobs: int = 1,
    on_start: Callable[[str], object] | None = None,
) -> None:
    """Serve the page of a library until Ctrl-C.

    Args:
        index: The library.
        address: Where; only for this machine when None.
        roots: Folders that may be indexed from the page, in addition to those already indexed.
        jobs: Worker processes that read files.
        on_start: Called with the page's URL once it is served.

    Raises:
        ConfigError: If the port is in use.
        MissingExtraError: If Gradio is not installed.
    """
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))  # the other cores serve; threads that compete for a core slow each other
    service = LibraryService(index, tuple(roots), jobs)
    running = None
    try:
        running = serve(service, address)
        if on_start:
            on_start(running.url)
        _wait_forever()
    except KeyboardInterrupt:
        pass
    finally:
        if running is not None:
            running.close()
        service.close()


def guarded_app(service: LibraryService, address: Address) -> ASGIApp:
    """Build the ASGI application: Gradio's page, our uploads and login, and the guard in front of them."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(service.files.uploads)
    import fastapi
    import gradio
    from fastapi.exceptions import RequestValidationError
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response

    from basrelief.web.guard import UPLOAD_PATH, Guard
    from basrelief.web.login import LoginSessions
    from basrelief.web.page import APPEARANCE, build_page, is_valid_call
    from basrelief.web.uploads import receive_uploads, report_progress

    async def malformed(_request: Request, _error: Exception) -> Response:
        return PlainTextResponse("Malformed request.", 422)

    gradio.set_static_paths([service.files.generated])
    page = build_page(service)
    logins = LoginSessions(*address.auth) if address.auth else None
    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    suffixes = (*IMAGE_SUFFIXES, *FORMATS)
    app.add_route(UPLOAD_PATH, partial(receive_uploads, store=service.files, suffixes=suffixes), methods=["POST"])
    app.add_route("/gradio_api/upload_progress", report_progress)
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
        **APPEARANCE,
    )
    page.has_launched = True  # without it, which mounting does not set, Gradio accepts other files than uploads
    return Guard(app, address.hosts, service.files.__contains__, partial(is_valid_call, page), logins)


def _wait_forever() -> None:
    threading.Event().wait()


def _listen(address: Address) -> socket.socket:
    """Open a listening socket.

    Raises:
        ConfigError: If the port is in use, or the address does not belong to this machine.
    """
    ports = [address.port] if address.port else range(_FIRST_PORT, _FIRST_PORT + _PORTS)
    reason = ""
    for port in ports:
        try:
            family, kind, protocol, _, target = socket.getaddrinfo(address.host, port, type=socket.SOCK_STREAM)[0]
            sock = socket.socket(family, kind, protocol)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(target)
                sock.listen(128)
            except OSError:
                sock.close()
                raise
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            return sock
    where = f"{address.host}, port {address.port or f'{_FIRST_PORT} to {_FIRST_PORT + _PORTS - 1}'}"
    raise ConfigError(f"Cannot serve the page at {where}: {reason.lower()}. Choose another --port or --host.")


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
