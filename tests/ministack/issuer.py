"""A token issuer. Serves its OpenID discovery document and key over HTTP, so that an authorizer can verify tokens."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

LIFETIME = 3600
KEY_ID = "1"


class Issuer:
    """Signs tokens for `audience` with all scopes. `url` is its address and its `iss`."""

    def __init__(self, url: str, audience: str, scope: str) -> None:
        self.url = url
        self.scope = scope
        self.audience = audience
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(self, **claims: Any) -> str:
        """A token with the common claims, overridden by these."""
        now = int(time.time())
        common = {"iss": self.url, "aud": self.audience, "scope": self.scope, "iat": now, "nbf": now,
                  "exp": now + LIFETIME}
        header = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
        signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, common | claims))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{encoded(signature)}"

    def documents(self) -> dict[str, Any]:
        """The served documents by path."""
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": KEY_ID} | {
            name: encoded(number.to_bytes((number.bit_length() + 7) // 8, "big")) for name, number in
            (("n", numbers.n), ("e", numbers.e))
        }
        return {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}jwks.json"},
            "/jwks.json": {"keys": [key]},
        }


@contextmanager
def serve(audience: str, scope: str) -> Iterator[Issuer]:
    """Serves an issuer on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = documents.get(self.path)
            body = json.dumps(document).encode()
            self.send_response(200 if document else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer = Issuer(f"http://127.0.0.1:{server.server_port}/", audience, scope)
        documents = issuer.documents()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield issuer
        finally:
            server.shutdown()


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
