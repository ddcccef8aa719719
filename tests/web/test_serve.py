"""Who may come in, and what a missing library is called."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import typer.testing

from basrelief.cli.app import app
from basrelief.errors import ConfigError, MissingExtraError
from basrelief.web import Address, Desk, serve


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.5"])
def test_this_machine_needs_no_password(host: str) -> None:
    assert Address(host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org", ""])
def test_others_need_one(host: str) -> None:
    with pytest.raises(ConfigError, match=r"host must be this machine without a password, but got .* Add --auth NAME:PASSWORD"):
        Address(host)
    assert Address(host, auth=("me", "secret")).auth == ("me", "secret")


@pytest.mark.parametrize("auth", [("", "x"), ("x", "")])
def test_half_a_password_is_none(auth: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match="auth must be NAME:PASSWORD, but got an empty part"):
        Address(auth=auth)


def test_a_missing_gradio_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "basrelief.web.page", raising=False)
    with pytest.raises(MissingExtraError, match=r"Install basrelief\[app\]"):
        serve(desk)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--host", "0.0.0.0"], "Add --auth"), (["--auth", "nocolon"], "got no colon"), (["--auth", ":x"], "an empty part")],
)
def test_the_command_refuses_before_it_serves(made: Path, arguments: list[str], told: str) -> None:
    done = typer.testing.CliRunner().invoke(app, ["app", "--db", str(made / "lib.lance"), *arguments])
    assert isinstance(done.exception, ConfigError)
    assert told in str(done.exception)


def test_the_command_serves_until_it_is_interrupted(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[tuple[Desk, Address]] = []

    def note(desk: Desk, address: Address) -> str:
        served.append((desk, address))
        return "http://here/"

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("basrelief.web.serve", note)
    monkeypatch.setattr("basrelief.cli.app_page._wait", interrupted)
    arguments = ["app", "--db", str(made / "lib.lance"), "--auth", "me:a:b", "--host", "0.0.0.0", "--port", "7999", "--root", str(made)]
    done = typer.testing.CliRunner().invoke(app, arguments)
    assert done.exit_code == 0
    assert "http://here/ (Ctrl-C ends it)" in done.stderr
    ((desk, address),) = served
    assert address == Address("0.0.0.0", 7999, ("me", "a:b"))
    assert desk.roots == (made,)
