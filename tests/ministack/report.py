"""What was promised and kept, line by line."""

import time
from collections.abc import Callable
from typing import Any


class Broken(Exception):
    """A promise that was not kept, and what was found instead."""


class Report:
    """Prints each promise when it has been kept."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.kept = 0
        self.failed = 0

    def note(self, text: str) -> None:
        print(f"{self._at()}        {text}", flush=True)

    def promise(self, text: str, kept: bool, found: Any = None) -> None:
        """Breaks the run off if the promise is not kept: what follows builds on it."""
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


def eventually(what: str, look: Callable[[], Any], patience: float = 120) -> Any:
    """Looks until something is found, and gives it."""
    deadline = time.monotonic() + patience
    while not (found := look()):
        if time.monotonic() > deadline:
            raise Broken(f"{what}, not within {patience:.0f} s")
        time.sleep(0.25)
    return found
