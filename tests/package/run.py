#!/usr/bin/env python3
"""Packages every function for Lambda, as a zip with `bootstrap`, and runs the packaged functions.

Builds for this machine's architecture, writes target/package/<function>.zip, unpacks the zips, and runs the demo with
`cargo local` on the unpacked functions. Then starts each function repeatedly and prints a table of sizes and start-up
times. Needs a Rust toolchain, a C compiler and Python 3.10.
"""

import argparse
import os
import shutil
import signal
import statistics
import sys
import zipfile
from pathlib import Path

from archive import archive, stripped
from local_stack import FUNCTIONS, WORKSPACE, ask, build, demo, stack, status

# Lambda's limit for a zip and its layers, unpacked.
LARGEST = 250 * 1024 * 1024


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="release", help="cargo's profile (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=20, help="starts of each function (default: %(default)s)")
    return parser.parse_args()


def package(binaries: Path, zips: Path, compresslevel: int) -> None:
    """Writes the zips."""
    shutil.rmtree(zips, ignore_errors=True)
    zips.mkdir(parents=True)
    for name in FUNCTIONS:
        (zips / f"{name}.zip").write_bytes(archive(stripped(binaries / name), compresslevel))


def unpack(zips: Path, folder: Path) -> None:
    """Unpacks each zip to where `cargo local` expects the function."""
    for name in FUNCTIONS:
        with zipfile.ZipFile(zips / f"{name}.zip") as packed:
            if packed.namelist() != ["bootstrap"]:
                sys.exit(f"{name}.zip has {packed.namelist()} instead of only bootstrap")
            (folder / name).write_bytes(packed.read("bootstrap"))
        (folder / name).chmod(0o755)


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
    print(f"the demo passes on the packaged functions: {demo(local, folder)}")
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
