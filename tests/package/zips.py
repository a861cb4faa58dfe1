#!/usr/bin/env python3
"""Turns what `sam build` built into what is deployed, and checks it. Run it between `sam build` and `sam deploy`.

For each function in .aws-sam/build: checks that the binary is of the architecture that template.yaml names and starts on
Amazon Linux 2023; writes a zip whose bytes depend on the binary alone, its bill of materials (CycloneDX), and SHA256SUMS; and has
the built template name the zip, so that Lambda's CodeSha256 is the digest written here. With --start, plays the demo of
`cargo local` on these functions, under qemu-user if this machine is of another architecture.

Needs Python 3.11 and the packages of requirements.txt.
"""

import argparse
import base64
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from archive import archive
from local_stack import FUNCTIONS, TARGET, WORKSPACE, build, demo

BUILD = WORKSPACE / ".aws-sam" / "build"
# Before, `sam build` compiled a workspace again for each function, or failed.
SAM = (1, 170)
# What provided.al2023 has.
GLIBC = (2, 34)


class Architecture(NamedTuple):
    """One value of the template's parameter `Architecture`."""

    # As `readelf` and as `uname -m` call it.
    readelf: str
    machine: str
    # As Rust calls it, with Amazon Linux's ABI.
    target: str


ARCHITECTURES = {
    "arm64": Architecture("AArch64", "aarch64", "aarch64-unknown-linux-gnu"),
    "x86_64": Architecture("Advanced Micro Devices X86-64", "x86_64", "x86_64-unknown-linux-gnu"),
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", action="store_true", help="play the demo on the built functions")
    return parser.parse_args()


def version(words: str) -> tuple[int, ...]:
    return tuple(int(number) for number in words.split("."))


def check_sam() -> None:
    said = subprocess.run(["sam", "--version"], capture_output=True, text=True, check=True).stdout
    if version(re.search(r"\d+\.\d+", said).group()) < SAM:
        sys.exit(f"SAM CLI {'.'.join(map(str, SAM))} or later is needed, this is {said.strip()}: "
                 "pip install -r tests/package/requirements.txt")


def architecture() -> tuple[str, Architecture]:
    """The template's choice, which is made there only."""
    template = (WORKSPACE / "template.yaml").read_text()
    name = re.search(r"^  Architecture:\n(?:    .*\n)*?    Default: (\w+)$", template, re.MULTILINE).group(1)
    return name, ARCHITECTURES[name]


def check_binary(binary: Path, name: str, expected: Architecture) -> str:
    """The newest version of the C library that a binary needs. Exits if Lambda could not start it."""
    command = ["readelf", "--wide", "--file-header", "--dynamic", "--version-info", binary]
    said = subprocess.run(command, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, check=True).stdout
    machine = re.search(r"Machine: +(.+)", said).group(1)
    if machine != expected.readelf:
        sys.exit(f"{binary} is for {machine}, but template.yaml deploys {name}: run `sam build` without overriding "
                 "Architecture; its default in template.yaml decides")
    needed = max(re.findall(r"GLIBC_(\d+\.\d+)", said), key=version)
    if version(needed) > GLIBC:
        sys.exit(f"{binary} needs GLIBC {needed}; Amazon Linux 2023 has {'.'.join(map(str, GLIBC))}")
    return needed


def package(function: str) -> str:
    """The Rust package of a function, by its logical id: `DeadLetterFunction` is `dead-letter`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", function.removesuffix("Function")).lower()


def deploy_zips(functions: list[str]) -> None:
    """Has the built template name the zips. `sam deploy` uploads a zip as it is."""
    template = BUILD / "template.yaml"
    code = re.compile(rf"^( +CodeUri: )({'|'.join(functions)})$", re.MULTILINE)
    text, changed = code.subn(r"\1\2.zip", template.read_text())
    if changed not in (0, len(functions)):
        sys.exit(f"{template} names {changed} of {len(functions)} functions: run `sam build` again")
    template.write_text(text)


def start(functions: list[str], target: Architecture) -> None:
    """Plays the demo: the built functions, and this machine's own for the others."""
    native, local = build()
    folder = TARGET / "package" / "started"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in FUNCTIONS:
        (folder / name).symlink_to(native / name)
    for function in functions:
        binary = BUILD / function / "bootstrap"
        runner = folder / package(function)
        runner.unlink()
        if platform.machine() == target.machine:
            runner.symlink_to(binary)
        else:
            emulator = f"qemu-{target.machine} -L /usr/{target.machine}-linux-gnu"
            runner.write_text(f"#!/bin/sh\nexec {emulator} {binary}\n")
            runner.chmod(0o755)
    began = time.monotonic()
    said = demo(local, folder)
    print(f"\nthe demo passes on {', '.join(functions)}, {target.machine} on {platform.machine()}, "
          f"in {time.monotonic() - began:.0f} s: {said}")


def main() -> int:
    chosen = arguments()
    check_sam()
    functions = sorted(path.parent.name for path in BUILD.glob("*/bootstrap"))
    if not functions:
        sys.exit(f"{BUILD} has no function: run `sam build` first")
    # Needs packages, which a mistake above should be told without.
    from sbom import Workspace, sbom

    name, target = architecture()
    workspace = Workspace(WORKSPACE, target.target)
    sums = []
    print(f"{name}, needs at most GLIBC {'.'.join(map(str, GLIBC))}\n")
    print("| function | zip, MiB | unpacked, MiB | GLIBC | packages | CodeSha256 |\n| --- | --- | --- | --- | --- | --- |")
    for function in functions:
        binary = BUILD / function / "bootstrap"
        needed = check_binary(binary, name, target)
        code = binary.read_bytes()
        zipped = archive(code, compresslevel=9)
        if archive(code, compresslevel=9) != zipped:
            sys.exit(f"two zips of {binary} differ")
        digest = hashlib.sha256(zipped)
        bill = sbom(workspace, package(function), digest.hexdigest())
        for file, data in {f"{function}.zip": zipped, f"{function}.cdx.json": bill.encode()}.items():
            (BUILD / file).write_bytes(data)
            sums.append((hashlib.sha256(data).hexdigest(), file))
        sums.append((hashlib.sha256(code).hexdigest(), f"{function}/bootstrap"))
        print(f"| {package(function)} | {len(zipped) / 2**20:.2f} | {len(code) / 2**20:.2f} | {needed} "
              f"| {len(workspace.linked(package(function)))} | {base64.b64encode(digest.digest()).decode()} |")
    (BUILD / "SHA256SUMS").write_text("".join(f"{digest}  {file}\n" for digest, file in sums))
    deploy_zips(functions)
    print(f"\nzips, bills of materials and SHA256SUMS are in {BUILD.relative_to(WORKSPACE)}")
    if chosen.start:
        start(functions, target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
