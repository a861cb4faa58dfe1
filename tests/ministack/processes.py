"""The processes of a deployment: ministack, which runs the functions as subprocesses, and the simulators."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from report import Broken, eventually

REGION = "us-east-1"
# ministack uses the key in its environment as the account's root key.
ROOT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION}


@dataclass(frozen=True)
class Emulator:
    """A running ministack process."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str, key: str = "test", secret: str = "test") -> Any:
        """A client with the account's root key, unless another key is given."""
        return boto3.client(service, endpoint_url=self.url, region_name=REGION,
                            aws_access_key_id=key, aws_secret_access_key=secret)


@contextmanager
def ministack(folder: str, logs: Path) -> Iterator[Emulator]:
    """Starts ministack with IAM enforced, on a free port of the loopback interface. It stores its data in `folder`."""
    emulator = Emulator(free_port())
    environment = ROOT | {
        "PATH": os.environ["PATH"],
        "HOME": folder,
        "TMPDIR": folder,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(emulator.port),
        # The functions inherit this environment and call this endpoint.
        "AWS_ENDPOINT_URL": emulator.url,
        # Checks signatures, and each call against the policies of the caller's role.
        "AUTH": "true",
        # Otherwise it would listen on every interface.
        "IOT_MTLS_ENABLED": "0",
    }
    with process([str(Path(sys.executable).with_name("ministack"))], environment, logs / "ministack.log"):
        eventually("ministack answers", lambda: answers(f"{emulator.url}/_ministack/health"), 60)
        yield emulator


@contextmanager
def simulators(binary: Path, dataset: Path, emulator: Emulator, folder: str,
               logs: Path) -> Iterator[dict[str, Any]]:
    """Starts the simulators of GitHub and of the agent. Yields what they announce."""
    environment = ROOT | {"AWS_ENDPOINT_URL": emulator.url, "TMPDIR": folder}
    command = [str(binary), "--listen", "127.0.0.1:0", "--github", str(dataset)]
    with process(command, environment, logs / "simulators.log", subprocess.PIPE) as started:
        line = started.stdout.readline() if started.stdout else b""
        if not line:
            raise Broken(f"the simulators did not start: {(logs / 'simulators.log').read_text()}")
        yield json.loads(line)


@contextmanager
def process(command: list[str], environment: dict[str, str], log: Path,
            stdout: int | None = None) -> Iterator[subprocess.Popen]:
    """Runs a process and always ends it and its children. Its output goes to the log, except `stdout` if given."""
    with log.open("wb") as output:
        started = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=stdout or output,
                                   stderr=output, start_new_session=True)
    try:
        yield started
    finally:
        started.terminate()
        with suppress(subprocess.TimeoutExpired):
            started.wait(10)
        # Its process group contains only it and the functions.
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False
