#!/usr/bin/env python3
"""Deploys template.yaml to ministack, an emulator of AWS that shares no code with the local stack, and has the
acceptance flow played there. With --url it plays the flow over HTTP against a running `cargo local` instead.

Needs a Rust toolchain, a C compiler and Python 3.10 or later. Prints each promise that was kept, and ends with 0 only
if all were. docs/emulators.md tells what is checked, and where the emulators differ.
"""

import argparse
import os
import signal
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORKSPACE = HERE.parent.parent
# Functions are packaged as there.
sys.path.append(str(HERE.parent / "package"))
ENVIRONMENT = WORKSPACE / "target" / "ministack"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="dev", help="cargo's profile for the binaries (default: %(default)s)")
    parser.add_argument("--no-build", action="store_true", help="take the binaries as they are")
    parser.add_argument("--install", action="store_true", help="install what is missing, and no more")
    parser.add_argument("--url", help="a running `cargo local` to play the flow against")
    return parser.parse_args()


def enter_environment() -> None:
    """Goes on as the interpreter of a virtual environment with ministack in it, made if it is not there yet."""
    python = ENVIRONMENT / "bin" / "python"
    if Path(sys.prefix) == ENVIRONMENT:
        return
    requirements = HERE / "requirements.txt"
    installed = ENVIRONMENT / "requirements.txt"
    if not installed.exists() or installed.read_bytes() != requirements.read_bytes():
        print(f"installing ministack into {ENVIRONMENT}", flush=True)
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
        installed.write_bytes(requirements.read_bytes())
    os.execv(python, [str(python), *sys.argv])


def build(profile: str) -> Path:
    """Builds every binary, as `cargo local` does, and tells where they are."""
    command = ["cargo", "build", "--quiet", "--workspace", "--bins", "--profile", profile]
    subprocess.run(command, cwd=WORKSPACE, check=True)
    return binaries(profile)


def binaries(profile: str) -> Path:
    # The profiles whose folders have other names.
    return WORKSPACE / "target" / {"dev": "debug", "bench": "release"}.get(profile, profile)


def main() -> int:
    chosen = arguments()
    if chosen.url is None:
        enter_environment()
        if chosen.install:
            return 0
        folder = binaries(chosen.profile) if chosen.no_build else build(chosen.profile)
    from report import Broken, Report

    # Whoever ends this run ends what it has started, too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    report = Report()
    try:
        if chosen.url is None:
            import deployed

            deployed.play(report, WORKSPACE, folder)
        else:
            import acceptance
            from local_stack import LocalStack

            owner = acceptance.play(report, LocalStack(chosen.url), WORKSPACE / "tests/data/dependabot")
            acceptance.erase(report, owner)
    except Broken as broken:
        report.broken(broken)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
