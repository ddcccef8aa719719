"""The page served: to this machine, or to those who know a password."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass

from basrelief.errors import ConfigError, MissingExtraError
from basrelief.limits import limits
from basrelief.web.desk import Desk


@dataclass(frozen=True)
class Address:
    """Where the page is served.

    Attributes:
        host: Address to listen at.
        port: Port; the next free one from 7860 when 0.
        auth: Name and password that are asked for, or None.

    Raises:
        ConfigError: If others than this machine could come in without a password.
    """

    host: str = "127.0.0.1"
    port: int = 0
    auth: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        """Check that strangers are asked."""
        if self.auth is None and not _is_local(self.host):
            raise ConfigError(f"host must be this machine without a password, but got {self.host!r}. Add --auth NAME:PASSWORD.")
        if self.auth is not None and not all(self.auth):
            raise ConfigError("auth must be NAME:PASSWORD, but got an empty part. Give both.")


def serve(desk: Desk, address: Address | None = None) -> str:
    """Serve the page in a thread, for as long as this process lives.

    Args:
        desk: The library behind it.
        address: Where; this machine alone when None.

    Returns:
        Its address.

    Raises:
        MissingExtraError: If Gradio is not installed.
    """
    address = address or Address()
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        from basrelief.web.page import LOOK, build
    except ModuleNotFoundError as error:
        raise MissingExtraError("the page must be drawn by gradio, but it is not installed. Install basrelief[app].") from error
    page = build(desk)
    _, local, _ = page.launch(
        server_name=address.host,
        server_port=address.port or None,
        auth=address.auth,
        max_file_size=limits().upload_bytes,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        ssr_mode=False,
        footer_links=[],
        **LOOK,
    )
    return str(local)


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
