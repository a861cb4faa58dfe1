"""Prints the checks of a run, line by line."""

import time
from collections.abc import Callable
from typing import Any


class Broken(Exception):
    """A failed check, with what was found instead."""


class Report:
    """Prints each check when it passes."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.kept = 0
        self.failed = 0

    def note(self, text: str) -> None:
        print(f"{self._at()}        {text}", flush=True)

    def promise(self, text: str, kept: bool, found: Any = None) -> None:
        """Ends the run if the check fails, because later checks depend on it."""
        if not kept:
            raise Broken(f"{text}; found {found!r}")
        self.kept += 1
        print(f"{self._at()}  kept  {text}", flush=True)

    def equal(self, text: str, found: Any, wanted: Any) -> None:
        self.promise(text, found == wanted, f"{found!r} instead of {wanted!r}")

    def broken(self, broken: Broken) -> None:
        self.failed += 1
        print(f"{self._at()}  BROKEN  {broken}", flush=True)

    def close(self) -> int:
        print(f"\n{self.kept} passed, {self.failed} failed", flush=True)
        return 1 if self.failed else 0

    def _at(self) -> str:
        return f"{time.monotonic() - self.began:7.1f} s"


def eventually(what: str, look: Callable[[], Any], timeout: float = 120) -> Any:
    """Polls until `look` returns something truthy. Returns that."""
    deadline = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > deadline:
            raise Broken(f"timed out after {timeout:.0f} s waiting until {what}")
        time.sleep(0.25)
    return found
