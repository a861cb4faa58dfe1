#!/usr/bin/env python3
"""Deploys template.yaml to ministack, an emulator of AWS that shares no code with the local stack, and runs the
acceptance flow there. With --url it runs the flow over HTTP against a running `cargo local` instead.

Needs a Rust toolchain, a C compiler and Python 3.10 or later. Prints each check that passes; exits with 0 only if all
of them do. docs/emulators.md describes the checks and the emulators' differences.
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
# For `archive`, which packages the functions.
sys.path.append(str(HERE.parent / "package"))
ENVIRONMENT = WORKSPACE / "target" / "ministack"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="dev", help="cargo's profile for the binaries (default: %(default)s)")
    parser.add_argument("--no-build", action="store_true", help="use the binaries as they are")
    parser.add_argument("--install", action="store_true", help="install what is missing and exit")
    parser.add_argument("--url", help="a running `cargo local` to run the flow against")
    return parser.parse_args()


def enter_environment() -> None:
    """Re-executes this script in a virtual environment with ministack, which it creates if needed."""
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
    """Builds every binary, as `cargo local` does. Returns their directory."""
    command = ["cargo", "build", "--quiet", "--workspace", "--bins", "--profile", profile]
    subprocess.run(command, cwd=WORKSPACE, check=True)
    return binaries(profile)


def binaries(profile: str) -> Path:
    # These profiles have folders with other names.
    return WORKSPACE / "target" / {"dev": "debug", "bench": "release"}.get(profile, profile)


def main() -> int:
    chosen = arguments()
    if chosen.url is None:
        enter_environment()
        if chosen.install:
            return 0
        folder = binaries(chosen.profile) if chosen.no_build else build(chosen.profile)
    from report import Broken, Report

    # Exit on SIGTERM, so that the child processes are ended, too.
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
