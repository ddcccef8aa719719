"""Access to the server, and errors about a missing library."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
import typer.testing

from basrelief.cli.app import app
from basrelief.errors import ConfigError, MissingExtraError
from basrelief.web.server import Address, serve
from basrelief.web.service import LibraryService


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.5"])
def test_local_address_needs_no_password(host: str) -> None:
    assert Address(host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org", ""])
def test_other_addresses_need_a_password(host: str) -> None:
    with pytest.raises(ConfigError, match=r"lets other machines connect, which needs a password. Add --auth NAME:PASSWORD"):
        Address(host)
    assert Address(host, auth=("me", "secret")).auth == ("me", "secret")


@pytest.mark.parametrize("auth", [("", "x"), ("x", "")])
def test_empty_name_or_password_is_rejected(auth: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match="The user name or the password is empty"):
        Address(auth=auth)


def test_missing_gradio_is_reported(service: LibraryService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "basrelief.web.page", raising=False)
    with pytest.raises(MissingExtraError, match=r"The page needs Gradio, which is not installed. Run: pip install 'basrelief\[app\]'"):
        serve(service)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--host", "0.0.0.0"], "Add --auth"), (["--auth", "nocolon"], "has no colon"), (["--auth", ":x"], "is empty")],
)
def test_invalid_arguments_are_rejected_before_serving(made: Path, arguments: list[str], told: str) -> None:
    done = typer.testing.CliRunner().invoke(app, ["app", "--db", str(made / "lib.lance"), *arguments])
    assert isinstance(done.exception, ConfigError)
    assert told in str(done.exception)


def test_further_host_names_are_checked() -> None:
    assert Address(host_names=("Demo.example.org",)).hosts == {"localhost", "127.0.0.1", "::1", "demo.example.org"}
    for wrong in ("", "https://demo.example.org", "demo.example.org:8443", "*.example.org"):
        with pytest.raises(ConfigError, match="is not a host name. Give --allow-host a name without scheme and port"):
            Address(host_names=(wrong,))


def test_port_in_use_is_reported(made: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = typer.testing.CliRunner().invoke(app, ["app", "--db", str(made / "lib.lance"), "--port", str(port)])
    assert isinstance(done.exception, ConfigError)
    assert (
        str(done.exception) == f"Cannot serve the page at 127.0.0.1, port {port}: address already in use. Choose another --port or --host."
    )


def test_the_command_serves_until_it_is_interrupted(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[tuple[LibraryService, Address]] = []
    closed: list[bool] = []

    class Page:
        url = "http://here/"

        def close(self) -> None:
            closed.append(True)

    def note(service: LibraryService, address: Address) -> Page:
        served.append((service, address))
        return Page()

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("basrelief.web.server.serve", note)
    monkeypatch.setattr("basrelief.web.server._wait_forever", interrupted)
    arguments = ["app", "--db", str(made / "lib.lance"), "--auth", "me:a:b", "--host", "0.0.0.0", "--port", "7999", "--root", str(made)]
    done = typer.testing.CliRunner().invoke(app, [*arguments, "--allow-host", "demo.example.org", "--allow-host", "here"])
    assert done.exit_code == 0
    assert "http://here/ (press Ctrl-C to stop)" in done.stderr
    ((service, address),) = served
    assert address == Address("0.0.0.0", 7999, ("me", "a:b"), ("demo.example.org", "here"))
    assert service.roots == (made,)
    assert closed == [True]
