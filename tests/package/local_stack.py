"""Runs packaged functions with `cargo local`."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WORKSPACE = Path(__file__).resolve().parent.parent.parent
FUNCTIONS = sorted(path.parent.name for path in (WORKSPACE / "functions").glob("*/Cargo.toml"))
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", WORKSPACE / "target"))


def build(profile: str = "dev") -> tuple[Path, Path]:
    """Builds the functions and `cargo local`. Returns the functions' directory and the path of `local`."""
    cargo = ["cargo", "build", "--quiet", "--bins"]
    subprocess.run([*cargo, "--workspace"], cwd=WORKSPACE, check=True)
    if profile != "dev":
        packages = [argument for name in FUNCTIONS for argument in ("--package", name)]
        subprocess.run([*cargo, "--profile", profile, *packages], cwd=WORKSPACE, check=True)
    folder = {"dev": "debug", "bench": "release"}.get(profile, profile)
    return TARGET / folder, TARGET / "debug" / "local"


def demo(local: Path, folder: Path) -> str:
    """Runs the demo with the functions in a folder. Returns its last line."""
    command = [local, "--ephemeral", "--listen", "127.0.0.1:0", "--binaries", folder, "--demo"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"the demo failed\n{done.stdout}\n{done.stderr}")
    return done.stdout.splitlines()[-1]


@contextmanager
def stack(local: Path, folder: Path) -> Iterator[str]:
    """Starts a stack without schedules. Yields its address."""
    command = [local, "--ephemeral", "--listen", "127.0.0.1:0", "--binaries", folder, "--no-schedules"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            ready = process.stdout.readline()
            if not ready.startswith("ready "):
                sys.exit(f"the stack did not start\n{process.stderr.read()}")
            yield ready.split()[1]
        finally:
            process.send_signal(signal.SIGTERM)


def ask(url: str, body: bytes | None = None) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, body, {"content-type": "application/json"})) as answer:
        return json.loads(answer.read() or "null")


def status(url: str, name: str) -> Any:
    return next(one for one in ask(f"{url}/local/functions") if one["name"] == name)
