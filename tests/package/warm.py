#!/usr/bin/env python3
"""Measures the CPU time of a warm admission: the packaged `api` over TLS, with stubs for what surrounds it.

The stubs answer at once: a Lambda Runtime API with events of API Gateway, and DynamoDB, SQS and Secrets Manager over TLS
with a certificate made for the run. Only the function's own CPU time is counted (`/proc/<pid>/schedstat`), so other
work on the machine disturbs little. Needs Linux, Python 3.10 and openssl. Takes the binary's path:

    cargo build --release --package api && python3 tests/package/warm.py target/release/api
"""

import argparse
import http.server
import json
import os
import queue
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

OWNER = "user:measured"
SECRETS = {
    "callback-keys": json.dumps({"active": "one", "keys": {"one": "k" * 48}}),
    "cursor-key": "c" * 48,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path, help="the function")
    parser.add_argument("--admissions", type=int, default=1000, help="of each round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="after a warm-up (default: %(default)s)")
    parser.add_argument("--under", default="", help="run the function under this command, such as a profiler")
    return parser.parse_args()


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer in two segments would wait for the acknowledgement of the first.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))


class Aws(Quiet):
    """DynamoDB without rows, SQS that takes every message, Secrets Manager."""

    def do_POST(self) -> None:
        asked = json.loads(self.body() or b"{}")
        operation = self.headers["X-Amz-Target"].split(".")[-1]
        match operation:
            case "GetSecretValue":
                reply = {"Name": asked["SecretId"], "SecretString": SECRETS[asked["SecretId"]]}
            case "SendMessage":
                reply = {"MessageId": str(uuid.uuid4()), "MD5OfMessageBody": "0" * 32}
            case "BatchGetItem":
                reply = {"Responses": {}, "UnprocessedKeys": {}}
            case _:
                reply = {}
        self.answer(200, json.dumps(reply).encode(), {"Content-Type": self.headers["Content-Type"]})


class Runtime(Quiet):
    """Hands out one event after the other and keeps the answers."""

    events: "queue.Queue[bytes]" = queue.Queue()
    answers: "queue.Queue[dict]" = queue.Queue()

    def do_GET(self) -> None:
        event = self.events.get()
        self.answer(200, event, {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": str(uuid.uuid4()),
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 15_000),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:000000000000:function:api",
            "Lambda-Runtime-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0",
        })

    def do_POST(self) -> None:
        body = self.body()
        self.answer(202, b'{"status":"OK"}', {"Content-Type": "application/json"})
        self.answers.put(json.loads(body))


def serve(handler: type[Quiet], context: ssl.SSLContext | None) -> int:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE",
         "-keyout", key, "-out", cert],
        check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return cert, context


def environment(runtime: int, aws: int, cert: Path) -> dict[str, str]:
    url = f"https://localhost:{aws}"
    queues = ("SYNC", "DISMISS", "ANALYSE", "CALLBACK", "ERASE")
    return {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": "api", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO",
        "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "t" * 700, "AWS_ENDPOINT_URL": url, "SSL_CERT_FILE": str(cert),
        "STACK": "measured", "TABLE": "measured", "PAUSED_COMMANDS": "",
        "ACCEPTED_TIMEOUT_SECONDS": "300", "RUNNING_TIMEOUT_SECONDS": "1800", "RETENTION_DAYS": "30",
        "CALLBACK_KEYS_SECRET": "callback-keys", "CURSOR_KEY_SECRET": "cursor-key",
        **{f"{name}_QUEUE_URL": f"{url}/000000000000/{name.lower()}" for name in queues},
    }


def event() -> bytes:
    path = f"/v1/owners/{OWNER}/commands"
    route = "POST /v1/owners/{owner}/commands"
    return json.dumps({
        "version": "2.0", "routeKey": route, "rawPath": path, "rawQueryString": "",
        "headers": {"content-type": "application/json", "authorization": "Bearer " + "t" * 800, "host": "api.example",
                    "user-agent": "measured", "x-forwarded-for": "192.0.2.1", "x-forwarded-port": "443",
                    "x-forwarded-proto": "https"},
        "requestContext": {
            "accountId": "000000000000", "apiId": "measured", "domainName": "api.example", "domainPrefix": "api",
            "authorizer": {"jwt": {"claims": {"sub": OWNER.removeprefix("user:"), "email": "a@example.com",
                                              "scope": "security-agent:write"}, "scopes": ["security-agent:write"]}},
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1",
                     "userAgent": "measured"},
            "requestId": uuid.uuid4().hex, "routeKey": route, "stage": "$default",
            "time": "12/Mar/2026:19:03:58 +0000", "timeEpoch": 1773342238000},
        "pathParameters": {"owner": OWNER},
        "body": json.dumps({"type": "sync"}), "isBase64Encoded": False,
    }).encode()


def cpu_ms(pid: int) -> float:
    """The CPU time of all threads so far."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


def admit(count: int) -> None:
    for _ in range(count):
        Runtime.events.put(event())
        answer = Runtime.answers.get(timeout=60)
        if answer.get("statusCode") != 202:
            sys.exit(f"the function answers {answer}")


def main() -> int:
    chosen = arguments()
    with tempfile.TemporaryDirectory() as folder:
        cert, context = certificate(Path(folder))
        variables = environment(serve(Runtime, None), serve(Aws, context), cert)
        command = [*chosen.under.split(), str(chosen.binary)]
        with subprocess.Popen(command, env={"PATH": os.environ["PATH"], **variables},
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as function:
            try:
                admit(100)
                rounds = []
                for _ in range(chosen.rounds):
                    before = cpu_ms(function.pid)
                    admit(chosen.admissions)
                    rounds.append((cpu_ms(function.pid) - before) / chosen.admissions)
                resident = next(line for line in Path(f"/proc/{function.pid}/status").read_text().splitlines()
                                if line.startswith("VmRSS"))
            finally:
                function.terminate()
    print(f"CPU of a warm admission, ms: median of {chosen.rounds} rounds of {chosen.admissions} "
          f"{statistics.median(rounds):.3f}, range {min(rounds):.3f}–{max(rounds):.3f}; "
          f"resident {int(resident.split()[1]) / 1024:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
