"""`cargo local` as the acceptance flow sees it."""

from collections.abc import Sequence

from http_client import Client


class LocalStack:
    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        # The test endpoints, including /local/github and /local/agent.
        self.local = Client(self.url)

    def stranger(self, token: str | None) -> Client:
        """A caller with this token."""
        return Client(self.url, token)

    def caller(self, sub: str, orgs: Sequence[str] = ()) -> Client:
        """A caller whose `user:` owner is connected to the simulator's installation."""
        return self.stranger(self.local.post("/local/tokens", {"sub": sub, "orgs": list(orgs)})["token"])
