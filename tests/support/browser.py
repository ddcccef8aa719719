"""A browser that a process of its own drives, for tests of pages."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def drive(driver: str, *arguments: str) -> dict[str, Any]:
    """What a browser found, which a process of its own drives; it prints JSON last."""
    command = [sys.executable, "-c", textwrap.dedent(driver), *arguments, str(CHROMIUM), json.dumps(FLAGS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
