#!/usr/bin/env python3
"""Packages every function for Lambda, as a zip with `bootstrap`, and runs the packaged functions.

Builds for this machine's architecture, writes target/package/<function>.zip, unpacks the zips, and runs the demo with
`cargo local` on the unpacked functions. Then starts each function repeatedly and prints a table of sizes and start-up
times. Needs a Rust toolchain, a C compiler and Python 3.10.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archive import archive

WORKSPACE = Path(__file__).resolve().parent.parent.parent
FUNCTIONS = sorted(path.parent.name for path in (WORKSPACE / "functions").glob("*/Cargo.toml"))
# Lambda's limit for a zip and its layers, unpacked.
LARGEST = 250 * 1024 * 1024


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="release", help="cargo's profile (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=20, help="starts of each function (default: %(default)s)")
    return parser.parse_args()


def build(profile: str) -> tuple[Path, Path]:
    """Builds the functions and `cargo local`. Returns the functions' directory and the path of `local`."""
    cargo = ["cargo", "build", "--quiet", "--bins"]
    subprocess.run([*cargo, "--workspace"], cwd=WORKSPACE, check=True)
    if profile != "dev":
        packages = [argument for name in FUNCTIONS for argument in ("--package", name)]
        subprocess.run([*cargo, "--profile", profile, *packages], cwd=WORKSPACE, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", WORKSPACE / "target"))
    folder = {"dev": "debug", "bench": "release"}.get(profile, profile)
    return target / folder, target / "debug" / "local"


def package(binaries: Path, zips: Path, compresslevel: int) -> None:
    """Writes the zips."""
    shutil.rmtree(zips, ignore_errors=True)
    zips.mkdir(parents=True)
    for name in FUNCTIONS:
        (zips / f"{name}.zip").write_bytes(archive(binaries / name, compresslevel))


def unpack(zips: Path, folder: Path) -> None:
    """Unpacks each zip to where `cargo local` expects the function."""
    for name in FUNCTIONS:
        with zipfile.ZipFile(zips / f"{name}.zip") as packed:
            if packed.namelist() != ["bootstrap"]:
                sys.exit(f"{name}.zip has {packed.namelist()} instead of only bootstrap")
            (folder / name).write_bytes(packed.read("bootstrap"))
        (folder / name).chmod(0o755)


def demo(local: Path, folder: Path) -> None:
    """Runs the demo with the packaged functions."""
    command = [local, "--ephemeral", "--listen", "127.0.0.1:0", "--binaries", folder, "--demo"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"the demo failed\n{done.stdout}\n{done.stderr}")
    print(f"the demo passes on the packaged functions: {done.stdout.splitlines()[-1]}")


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
    with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:
        return json.loads(answer.read() or "null")


def status(url: str, name: str) -> Any:
    return next(one for one in ask(f"{url}/local/functions") if one["name"] == name)


def starts(url: str, name: str, count: int) -> list[float]:
    """The start-up times of a function, in milliseconds."""
    found = []
    for _ in range(count):
        for pid in status(url, name)["pids"]:
            os.kill(pid, signal.SIGKILL)
        while status(url, name)["pids"]:
            pass
        # No function accepts this event. It only has to start a process.
        ask(f"{url}/2015-03-31/functions/{name}/invocations", b"{}")
        found += status(url, name)["initMs"]
    return found


def main() -> int:
    chosen = arguments()
    binaries, local = build(chosen.profile)
    zips = WORKSPACE / "target" / "package"
    folder = zips / "unpacked"
    # Only a release is worth the time for the smallest zip.
    package(binaries, zips, compresslevel=1 if chosen.profile == "dev" else 9)
    folder.mkdir()
    unpack(zips, folder)
    demo(local, folder)
    print(f"\n| function | zip, MB | unpacked, MB | start, ms: median of {chosen.starts} | slowest |")
    print("| --- | --- | --- | --- | --- |")
    with stack(local, folder) as url:
        for name in FUNCTIONS:
            size = (folder / name).stat().st_size
            if size > LARGEST:
                sys.exit(f"{name} exceeds Lambda's limit of {LARGEST} bytes: {size} bytes")
            took = starts(url, name, chosen.starts)
            print(f"| {name} | {(zips / f'{name}.zip').stat().st_size / 1e6:.1f} | {size / 1e6:.1f} "
                  f"| {statistics.median(took):.1f} | {max(took):.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
