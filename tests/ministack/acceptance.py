"""The acceptance flow over HTTP: follows each command from its admission to its outcome, and compares the outcome with
GitHub and the agent.
"""

import json
import re
import time
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from http_client import Client
from report import Report, eventually

# The alerts of the dataset's repositories that answer without an error.
ALERTS = 486


class Stack(Protocol):
    """The stack that the flow runs against."""

    # The test endpoints.
    local: Client

    def stranger(self, token: str | None) -> Client: ...

    def caller(self, sub: str, orgs: Sequence[str] = ()) -> Client: ...


def play(report: Report, stack: Stack, dataset: Path) -> Client:
    """Runs the flow for a new owner. Returns a client for that owner."""
    owner = stack.caller(f"acceptance|{time.time_ns()}")
    gate(report, stack)
    enable(report, stack, owner, dataset)
    replay(report, owner)
    dismiss(report, stack, owner)
    analyse(report, owner)
    fail(report, owner)
    look_back(report, owner)
    keep_apart(report, stack, owner)
    automate(report, owner)
    return owner


def gate(report: Report, stack: Stack) -> None:
    health = stack.stranger(None).call("GET", "/v1/health")
    report.equal("health answers without a token", health.status, 200)
    page = stack.stranger(None).call("GET", "/")
    report.equal("so does the dashboard's page", (page.status, page.headers["content-type"]),
                 (200, "text/html; charset=utf-8"))
    files = re.findall('"(/assets/[^"]+)"', page.body)
    statuses = {stack.stranger(None).call("GET", file).status for file in files}
    report.equal(f"and so do its {len(files)} files", statuses, {200})
    for what, token in [("no token", None), ("a malformed token", "not.a.token")]:
        refused = stack.stranger(token).call("GET", "/v1/owners/me/commands")
        report.equal(f"{what} is refused", refused.status, 401)
    forged = stack.stranger("forged").call("POST", "/v1/callbacks/analysis", {})
    report.equal("a callback needs a capability, which the function itself checks", forged.status, 401)


def enable(report: Report, stack: Stack, owner: Client, dataset: Path) -> None:
    special = {entry["repository"] for entry in json.loads((dataset / "special-repositories.json").read_text())}
    repositories = owner.get("/v1/owners/me/repositories")["repositories"]
    good = [repository for repository in repositories if repository["fullName"] not in special]
    report.equal("11 repositories are connected, 5 of them answer", (len(repositories), len(good)), (11, 5))

    ids = [repository["id"] for repository in good]
    saved = owner.configure({"enabled": True, "repositorySelection": "selected", "selectedRepositoryIds": ids})
    initial = saved["initialSync"]
    report.promise("enabling is saved and admits the initial sync", initial["admitted"] is True, initial)
    ended = owner.watch(initial["command"]["id"])
    outcome = ended["status"], ended["resultCode"], ended["effect"], ended["attempts"]
    report.equal("the initial sync succeeds at once", outcome, ("succeeded", "SYNC_COMPLETED", "applied", 1))

    alerts = [
        alert
        for repository in good
        for alert in stack.local.get(f"/local/github/alerts/{repository['fullName']}")
    ]
    states = Counter({"dismissed": "ignored", "auto_dismissed": "ignored"}.get(a["state"], a["state"]) for a in alerts)
    severities = Counter(a["security_vulnerability"]["severity"] for a in alerts if a["state"] == "open")
    counts = owner.get("/v1/owners/me/summary")["findings"]
    report.equal(f"the {ALERTS} findings match GitHub's alerts by state",
                 (len(alerts), {state: counts[state] for state in states}), (ALERTS, dict(states)))
    report.equal("and the open ones by severity", counts["openBySeverity"], dict(severities))
    report.equal("every one can be listed", sum(1 for _ in findings(owner)), ALERTS)


def replay(report: Report, owner: Client) -> None:
    path, key = "/v1/owners/me/commands", {"idempotency-key": f"key-{time.time_ns()}"}
    first = owner.call("POST", path, {"type": "sync"}, key)
    location = f"/commands/{first.body['id']}"
    report.promise("an admission answers 202 with Location and Retry-After",
                   first.status == 202 and first.headers["location"].endswith(location)
                   and first.headers["retry-after"] == "1", (first.status, first.headers.items()))
    again = owner.call("POST", path, {"type": "sync"}, key)
    report.equal("the same key with the same request returns the same command",
                 (again.status, again.body["id"], again.headers["idempotent-replayed"]),
                 (202, first.body["id"], "true"))
    other = owner.call("POST", path, {"type": "sync", "repository": "acme-appsec/zeppelin"}, key)
    report.equal("the same key with another request is refused", other.status, 422)
    report.equal("the command succeeds", owner.watch(first.body["id"])["resultCode"], "SYNC_COMPLETED")
    unchanged = owner.call("GET", f"{path}/{first.body['id']}")
    cached = owner.call("GET", f"{path}/{first.body['id']}", headers={"if-none-match": unchanged.headers["etag"]})
    report.equal("an unchanged command is 304", cached.status, 304)


def dismiss(report: Report, stack: Stack, owner: Client) -> None:
    finding = open_finding(owner, "low")
    id = owner.admit({"type": "dismiss_finding", "findingId": finding["id"], "reason": "tolerable_risk"})
    ended = owner.watch(id)
    report.equal("a dismissal succeeds", (ended["status"], ended["resultCode"]), ("succeeded", "FINDING_DISMISSED"))
    alert = stack.local.get(f"/local/github/alerts/{finding['repository']}/{finding['sourceId']}")
    report.equal("GitHub shows the alert dismissed", (alert["state"], alert["dismissed_reason"]),
                 ("dismissed", "tolerable_risk"))
    after = owner.get(f"/v1/owners/me/findings/{finding['id']}")
    report.equal("and the finding is ignored", (after["status"], after["ignoredReason"]), ("ignored", "tolerable_risk"))
    id = owner.admit({"type": "dismiss_finding", "findingId": finding["id"], "reason": "not_used"})
    ended = owner.watch(id)
    report.equal("a second dismissal changes nothing and says why",
                 (ended["status"], ended["resultCode"], ended["effect"], bool(ended["message"])),
                 ("no_op", "ALREADY_IGNORED", "none", True))


def analyse(report: Report, owner: Client) -> None:
    path = f"/v1/owners/me/findings/{open_finding(owner, 'critical')['id']}"
    ended = owner.watch(owner.admit({"type": "start_analysis", "findingId": path.rsplit("/", 1)[1]}))
    report.equal("an analysis is launched", (ended["status"], ended["resultCode"]),
                 ("succeeded", "ANALYSIS_LAUNCH_STARTED"))

    def ended_analysis() -> Any:
        analysis = owner.get(path)["analysis"]
        return analysis if analysis["status"] not in ("pending", "running") else None

    analysis = eventually("the analysis has ended", ended_analysis)
    report.promise("the agent's callback brings the result",
                   analysis["status"] == "completed" and analysis["result"]["summary"].startswith("Simulated:"),
                   analysis)


def fail(report: Report, owner: Client) -> None:
    ended = owner.watch(owner.admit({"type": "sync", "repository": "acme-appsec/gone-since-listing"}))
    report.equal("the sync of a repository that is gone fails", (ended["status"], ended["resultCode"]),
                 ("failed", "REPOSITORY_UNAVAILABLE"))
    report.promise(f"and says so: {ended['message']}", (ended["message"] or "").endswith("."), ended)
    unknown = owner.call("POST", "/v1/owners/me/commands",
                         {"type": "dismiss_finding", "findingId": "dependabot:1:1", "reason": "not_used"})
    report.promise("an unknown finding is 404 and creates no command",
                   unknown.status == 404 and len(history(owner)) == 6, (unknown.status, history(owner)))


def look_back(report: Report, owner: Client) -> None:
    commands = history(owner)
    told = [(command["type"], command["resultCode"]) for command in reversed(commands)]
    report.equal("the history has every command, newest first", told, [
        ("sync", "SYNC_COMPLETED"),
        ("sync", "SYNC_COMPLETED"),
        ("dismiss_finding", "FINDING_DISMISSED"),
        ("dismiss_finding", "ALREADY_IGNORED"),
        ("start_analysis", "ANALYSIS_LAUNCH_STARTED"),
        ("sync", "REPOSITORY_UNAVAILABLE"),
    ])
    report.equal("and none is active", owner.get("/v1/owners/me/commands?state=active")["commands"], [])
    actions = Counter(event["action"] for event in audit_events(owner))
    report.equal("each effect has one audit event", actions, Counter({
        "connected": 1, "enabled": 1, "config_changed": 1, "sync_completed": 2,
        "finding_dismissed": 1, "analysis_started": 1, "analysis_completed": 1,
    }))


def keep_apart(report: Report, stack: Stack, owner: Client) -> None:
    other = stack.caller(f"other|{time.time_ns()}")
    id = history(owner)[0]["id"]
    report.equal("another owner's command is 404", other.call("GET", f"/v1/owners/me/commands/{id}").status, 404)
    ours, theirs = uuid.uuid4(), uuid.uuid4()
    member = stack.caller(f"member|{time.time_ns()}", [str(ours), str(uuid.uuid4())])
    found = [member.call("GET", f"/v1/owners/org:{org}/config").status for org in (ours, theirs)]
    report.equal("the caller reaches the organisations in the token; others are 404", found, [200, 404])


def automate(report: Report, owner: Client) -> None:
    owner.configure({
        "autoAnalysis": {"enabled": True, "minSeverity": "critical", "includeExisting": True},
        "autoDismiss": {"enabled": True, "minConfidence": "high"},
    })
    # The simulated agent recommends dismissing findings of low or medium severity in development dependencies.
    minor = next(finding for finding in findings(owner)
                 if finding["status"] == "open" and finding["severity"] in ("low", "medium")
                 and finding["dependencyScope"] == "development" and finding["analysis"] is None)
    owner.watch(owner.admit({"type": "start_analysis", "findingId": minor["id"]}))
    owner.watch(owner.admit({"type": "sync"}))

    def automatic(origin: str, count: int) -> list[Any]:
        """The ended commands of this origin, or nothing while there are fewer than `count`."""
        ended = [command for command in history(owner) if command["origin"] == origin and command["completedAt"]]
        return ended if len(ended) >= count else []

    [dismissal] = eventually("automation dismisses", lambda: automatic("auto_dismiss", 1))
    report.equal("automation dismisses what the analysis recommends",
                 (dismissal["resultCode"], dismissal["findingId"]), ("FINDING_DISMISSED", minor["id"]))
    launches = eventually("automation analyses", lambda: automatic("auto_analysis", 3))
    owner.configure({"autoAnalysis": {"enabled": False}, "autoDismiss": {"enabled": False}})
    analysed = {owner.get(f"/v1/owners/me/findings/{launch['findingId']}")["severity"] for launch in launches}
    report.equal("and analyses the most severe findings, one after the other",
                 ({launch["resultCode"] for launch in launches}, analysed), ({"ANALYSIS_LAUNCH_STARTED"}, {"critical"}))


def erase(report: Report, owner: Client) -> None:
    refused = owner.call("DELETE", "/v1/owners/me")
    report.equal("an erasure must be confirmed", (refused.status, refused.body["code"]), (400, "VALIDATION_FAILED"))
    name = owner.get("/v1/owners/me/commands?limit=1")["commands"][0]["owner"]
    owner.delete(f"/v1/owners/me?confirm={urllib.parse.quote(name, safe='')}")

    def erased() -> bool:
        return owner.get("/v1/owners/me/erasure")["status"] == "completed"

    eventually("the erasure is done", erased)
    left = [history(owner), audit_events(owner), list(findings(owner))]
    repositories = owner.get("/v1/owners/me/repositories")["repositories"]
    report.equal("an erased owner has nothing left", [*left, repositories], [[], [], [], []])


def open_finding(owner: Client, severity: str) -> Any:
    """An open finding without an analysis."""
    query = f"status=open&analysis=none&severity={severity}&limit=1"
    return owner.get(f"/v1/owners/me/findings?{query}")["findings"][0]


def history(owner: Client) -> list[Any]:
    return owner.get("/v1/owners/me/commands?limit=100")["commands"]


def audit_events(owner: Client) -> list[Any]:
    return owner.get("/v1/owners/me/audit-events?limit=100")["auditEvents"]


def findings(owner: Client) -> Iterator[Any]:
    """All findings, page by page."""
    path = "/v1/owners/me/findings?limit=100"
    page = owner.get(path)
    while True:
        yield from page["findings"]
        if page["nextCursor"] is None:
            return
        page = owner.get(f"{path}&cursor={page['nextCursor']}")
