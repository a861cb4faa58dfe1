"""Follows docs/operating step by step: runs the commands of its `sh` blocks, as written, in one shell.

`aws` is the real command line, pointed at the emulator. `sam`, which would need AWS and a build for Lambda, is
commands/sam, which deploys as deployment.py does. A block that is neither followed nor listed in NOT_FOLLOWED fails the
run, so that no document can contain a command that was never tried.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import REGION, ROOT, Emulator
from report import Broken, Report

HERE = Path(__file__).resolve().parent
DOCUMENTS = "docs/operating"
DONE = "handbook: done"
FENCED = re.compile(r"^( *)```sh\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`aws [^`]* --[^`]*`")

# The blocks that nothing follows here, by document and heading.
NOT_FOLLOWED = {
    ("deploy.md", "Deploying"): "installs the tools of `sam build`, which is not executed",
    ("permissions.md", "Permissions"): "asks the local stack, and runs its tests",
}
# Commands that the shell finds, but that do something else here or nothing, by their first words.
NOT_EXECUTED = {
    "sam build": "the functions are built by cargo; tests/package packages them",
    "python3 tests/package/zips.py": "checks what `sam build` makes",
    "sam deploy": "deployment.py deploys, with the changes that ministack needs",
    "sleep": "nothing here takes as long as on AWS; it sleeps for a second",
}


@dataclass
class Block:
    document: str
    heading: str
    line: int
    text: str
    followed: bool = False

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


@dataclass
class Handbook:
    """The documents, and the shell of an operator who follows them."""

    report: Report
    emulator: Emulator
    folder: Path
    log: Path
    shell: subprocess.Popen
    blocks: list[Block]
    # What commands/sam reads.
    state: Path

    def follow(self, document: str, heading: str, examples: dict[str, str] | None = None) -> str:
        """Runs the next block under the heading. Returns its output. `examples` replaces values that a reader would."""
        block = next((block for block in self.blocks if not block.followed
                      and (block.document, block.heading) == (document, heading)), None)
        if block is None:
            raise Broken(f"{document} has no further block under {heading!r}")
        text = block.text
        for example, value in (examples or {}).items():
            if example not in text:
                raise Broken(f"{block.place} does not mention {example!r}")
            text = text.replace(example, value)
        output = self._run(block, text)
        block.followed = True
        self.report.promise(f"{block.place} works: {first_line(text)}", True)
        return output

    def answer(self, answers: dict[str, str]) -> None:
        """Sets the answers to the questions of the next `sam deploy --guided`."""
        self.state.write_text(json.dumps(json.loads(self.state.read_text()) | {"answers": answers}))

    def export(self, **variables: str) -> None:
        """Sets what a reader has in the environment."""
        for name, value in variables.items():
            self._send(f"export {name}={shlex.quote(value)}\n")

    def _run(self, block: Block, text: str) -> str:
        file = self.folder / "block.sh"
        file.write_text(text)
        self._send(f". {shlex.quote(str(file))} </dev/null\nprintf '\\n%s\\n' {shlex.quote(DONE)}\n")
        lines = []
        for line in self.shell.stdout:
            if line.rstrip("\n") == DONE:
                return "".join(lines)
            lines.append(line)
        written = self.log.read_text().strip().splitlines()[-5:]
        raise Broken(f"{block.place} fails: {''.join(lines[-5:])} {written}")

    def _send(self, text: str) -> None:
        self.shell.stdin.write(text)
        self.shell.stdin.flush()

    def close(self) -> None:
        """Checks that nothing was left out, and says what was not executed."""
        left = [f"{block.place} ({block.heading})" for block in self.blocks if not block.followed
                and (block.document, block.heading) not in NOT_FOLLOWED]
        known = {(block.document, block.heading) for block in self.blocks}
        stale = [key for key in NOT_FOLLOWED if key not in known]
        self.report.equal("every command of docs/operating was followed, or is listed with its reason",
                          (left, stale), ([], []))
        for (document, heading), reason in NOT_FOLLOWED.items():
            self.report.note(f"not followed: {document}, {heading}: {reason}")
        for command, reason in NOT_EXECUTED.items():
            self.report.note(f"not executed as written: {command}: {reason}")


def read(workspace: Path) -> list[Block]:
    """The `sh` blocks of every document, in order. A command in running text could not be followed, so it fails."""
    blocks = []
    for path in sorted((workspace / DOCUMENTS).glob("*.md")):
        text = path.read_text()
        if inline := INLINE.search(text):
            raise Broken(f"{path.name} has a command outside a block: {inline[0]}")
        for found in FENCED.finditer(text):
            before = text[:found.start()]
            heading = re.findall(r"^#+ (.+)$", before, re.MULTILINE)[-1]
            blocks.append(Block(path.name, heading, before.count("\n") + 1, textwrap.dedent(found[2])))
    return blocks


@contextmanager
def begin(report: Report, workspace: Path, binaries: Path, emulator: Emulator, folder: Path,
          logs: Path) -> Iterator[Handbook]:
    """Starts the operator's shell in a folder that looks like the checkout."""
    folder.mkdir()
    for name in ("docs", "template.yaml"):
        (folder / name).symlink_to(workspace / name)
    state = folder / "sam.json"
    state.write_text(json.dumps({"port": emulator.port, "workspace": str(workspace), "binaries": str(binaries)}))
    environment = ROOT | {
        "PATH": f"{HERE / 'commands'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "AWS_ENDPOINT_URL": emulator.url,
        "AWS_DEFAULT_REGION": REGION,
        "HANDBOOK_PYTHON": sys.executable,
        "HANDBOOK_STATE": str(state),
    }
    log = logs / "handbook.log"
    with log.open("w") as errors:
        # Ends at the first command that fails, also within a pipe.
        shell = subprocess.Popen(["bash", "-eu", "-o", "pipefail"], cwd=folder, env=environment, text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
    try:
        yield Handbook(report, emulator, folder, log, shell, read(workspace), state)
    finally:
        shell.kill()
        shell.wait()


def first_line(text: str) -> str:
    line = text.strip().splitlines()[0].split("  #")[0].rstrip(" \\")
    return line if len(line) <= 80 else f"{line[:79]}…"
