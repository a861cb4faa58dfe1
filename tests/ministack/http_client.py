"""A client of the HTTP API and of the test endpoints."""

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Any

from report import Broken

# The longest time, in seconds, from a command's admission to its end.
COMMAND_TIMEOUT = 180
ACTIVE = ("accepted", "running")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: Any


@dataclass(frozen=True)
class Client:
    """Calls `url`. `host` is the Host header, for endpoints that are found by name and not by address."""

    url: str
    token: str | None = None
    host: str | None = None

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Sends a request. Returns the response, whatever its status."""
        request = urllib.request.Request(self.url + path, method=method, headers=headers or {})
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("content-type", "application/json")
        if self.token is not None:
            request.add_header("authorization", f"Bearer {self.token}")
        if self.host is not None:
            request.add_header("host", self.host)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return answer(response)
        except urllib.error.HTTPError as refused:
            return answer(refused)

    def get(self, path: str) -> Any:
        """Returns the body. Fails unless the request succeeds."""
        return self._succeed("GET", path)

    def post(self, path: str, body: Any) -> Any:
        """Returns the body. Fails unless the request succeeds."""
        return self._succeed("POST", path, body)

    def delete(self, path: str) -> Any:
        """Returns the body. Fails unless the request succeeds."""
        return self._succeed("DELETE", path)

    def configure(self, change: Any) -> Any:
        """Replaces the current configuration."""
        version = str(self.get("/v1/owners/me/config")["version"])
        return self._succeed("PUT", "/v1/owners/me/config", change, {"if-match": version})

    def admit(self, command: Any) -> str:
        """Requests a command. Returns its id."""
        return self.post("/v1/owners/me/commands", command)["id"]

    def command(self, id: str) -> Any:
        return self.get(f"/v1/owners/me/commands/{id}")

    def watch(self, id: str) -> Any:
        """Polls a command until it ends, at the pace of `Retry-After`, which every active command must have."""
        path, deadline = f"/v1/owners/me/commands/{id}", time.monotonic() + COMMAND_TIMEOUT
        while True:
            found = self.call("GET", path)
            if found.status != 200:
                raise Broken(f"GET {path}: {found.status} {found.body}")
            pause = found.headers.get("retry-after")
            if (found.body["status"] in ACTIVE) != (pause is not None):
                raise Broken(f"a command with status {found.body['status']} has Retry-After {pause}")
            if pause is None:
                return found.body
            if time.monotonic() > deadline:
                raise Broken(f"the command did not end within {COMMAND_TIMEOUT} s: {found.body}")
            time.sleep(float(pause))

    def _succeed(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        found = self.call(method, path, body, headers)
        if not 200 <= found.status < 300:
            raise Broken(f"{method} {path}: {found.status} {found.body}")
        return found.body


def answer(response: Any) -> Answer:
    text = response.read()
    try:
        body = json.loads(text) if text else None
    except ValueError:
        body = text.decode(errors="replace")
    return Answer(response.status, response.headers, body)
