"""`cargo local` as the acceptance flow sees it."""

from collections.abc import Sequence

from http_client import Client


class LocalStack:
    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        # The endpoints for tests, /local/github and /local/agent among them.
        self.local = Client(self.url)

    def stranger(self, token: str | None) -> Client:
        """A caller with whatever token."""
        return Client(self.url, token)

    def caller(self, sub: str, orgs: Sequence[str] = ()) -> Client:
        """Somebody whose `user:` owner is connected to the simulator's installation."""
        return self.stranger(self.local.post("/local/tokens", {"sub": sub, "orgs": list(orgs)})["token"])
