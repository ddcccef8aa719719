"""The command line: parse, call one public function, print. Heavy packages are imported by the command that needs them."""

from basrelief.cli.app import main

__all__ = ["main"]
