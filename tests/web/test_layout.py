"""The page without a browser: error messages, no external resources, no public API.

Gradio leaves event loops open, so that the page is built in a process of its own, which says what it found.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import needs_gradio

pytestmark = needs_gradio

BUILD = """
import json, sys
import gradio as gr
from basrelief.errors import ConfigError
from basrelief.index import Index
from basrelief.web.service import LibraryService
from basrelief.web.page import APPEARANCE, build_page, is_valid_call, show_errors


@show_errors
def refuse():
    raise ConfigError("Need at least two labels. Add one.")


@show_errors
def fail():
    raise KeyError("secret")


@show_errors
def echo():
    raise ConfigError("<img src=//evil.test> " + "x" * 5000)


@show_errors
def answer(one, *, other=2):
    "Add."
    return one + other


def outcome(call):
    try:
        return ["answered", call()]
    except gr.Error as error:
        return ["told", error.message, error.print_exception]
    except Exception as error:
        return [type(error).__name__]


VALUES = {"Textbox": "x", "File": {"path": "x"}, "Slider": 0.5, "State": None}
page = build_page(LibraryService(Index.open(sys.argv[1])))
parts = list(page.blocks.values())
found = {
    "outcomes": [outcome(refuse), outcome(fail), outcome(echo), outcome(lambda: answer(1)), outcome(lambda: answer(1, other=5))],
    "doc": answer.__doc__,
    "stylesheets": APPEARANCE["theme"]._stylesheets,
    "config": json.dumps(page.get_config_file(), default=str),
    "analytics": page.analytics_enabled,
    "tabs": [part.label for part in parts if type(part).__name__ == "Tab"],
    "named": [part.elem_id for part in parts if getattr(part, "elem_id", None)],
    "kinds": [part.file_types for part in parts if type(part).__name__ == "File"],
    "calls": [
        [is_valid_call(page, number, values, queued) for values, queued in (([1] * len(fn.inputs), fn.queue), ([None] * (len(fn.inputs) + 1), fn.queue))]
        + [is_valid_call(page, 99, [], True)]
        for number, fn in page.fns.items() if len(fn.inputs) != 1 or not isinstance(fn.inputs[0], gr.State) if fn.inputs
    ],
    "fits": [
        [queued for queued in (True, False) if is_valid_call(page, number, [VALUES[type(part).__name__] for part in fn.inputs], queued)] == [fn.queue]
        for number, fn in page.fns.items()
    ],
    "apis": [call.api_visibility for call in page.fns.values()],
}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(made: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", BUILD, str(made / "lib.lance")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return record


def test_basrelief_errors_are_shown_unchanged(found: dict[str, Any]) -> None:
    kind, message, printed = found["outcomes"][0]
    assert (kind, html.unescape(message), printed) == ("told", "Need at least two labels. Add one.", False)


def test_other_exceptions_are_reported_without_details(found: dict[str, Any]) -> None:
    kind, message, printed = found["outcomes"][1]
    assert (kind, printed) == ("told", False)
    assert message.startswith("Something went wrong on the server")
    assert "secret" not in message


def test_messages_are_short_and_escaped(found: dict[str, Any]) -> None:
    _, message, _ = found["outcomes"][2]
    assert "<" not in message
    assert html.unescape(message).startswith("<img src=//evil.test> xxx")
    assert len(html.unescape(message)) < 1000


def test_return_values_pass_through(found: dict[str, Any]) -> None:
    assert found["outcomes"][3:] == [["answered", 3], ["answered", 6]]
    assert found["doc"] == "Add."


def test_page_loads_nothing_from_other_hosts(found: dict[str, Any]) -> None:
    assert found["stylesheets"] == []
    urls = re.findall(r"https?://[^\"\\ ]+", found["config"])  # Gradio's examples of values among them, which nobody loads
    assert [url for url in urls if re.search(r"[.](js|css|woff2?)\b|fonts|cdn", url)] == []
    assert not found["analytics"]


def test_page_has_four_tabs_with_their_components(found: dict[str, Any]) -> None:
    assert found["tabs"] == ["Search", "Classify a file", "Index a folder", "Tags"]
    wanted = {"words", "search", "results", "viewer", "sheet", "upload", "classify", "evidence", "folder", "index", "propose"}
    assert wanted <= set(found["named"])


def test_uploads_accept_known_file_types_only(found: dict[str, Any]) -> None:
    assert len(found["kinds"]) == 3
    for kinds in found["kinds"]:
        assert kinds
        assert not {".html", ".svg", ".py", ".exe"} & set(kinds)


def test_no_call_is_public(found: dict[str, Any]) -> None:
    assert found["apis"]
    assert set(found["apis"]) == {"private"}


def test_malformed_calls_are_rejected(found: dict[str, Any]) -> None:
    assert found["fits"]
    assert all(found["fits"])
    assert found["calls"]
    assert not any(wrong for call in found["calls"] for wrong in call)
