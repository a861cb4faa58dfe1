"""Runs the whole system on ministack, from packaging to the stack's deletion."""

import json
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import acceptance
import delivery
import deployment
import handbook
import issuer
import operating
import processes
from botocore.exceptions import ClientError
from delivery import Queues
from deployment import Deployment
from handbook import Handbook
from http_client import Client
from issuer import Issuer
from processes import Emulator
from report import Report

AUDIENCE = "security-agent"
DATASET = "tests/data/dependabot"
# Seconds until a message counts as lost, between two runs of the reconciler, and of tolerance for both.
LOST_AFTER = 75
TICK = 60
SLACK = 15


class DeployedStack:
    """The deployed API as the acceptance flow sees it."""

    def __init__(self, deployed: Deployment, issuer: Issuer, simulators: str) -> None:
        self.deployed = deployed
        self.issuer = issuer
        self.local = Client(simulators)

    def refresh(self) -> None:
        """Reads the stack again, after an update."""
        self.deployed = deployment.find(self.deployed.emulator)

    def stranger(self, token: str | None) -> Client:
        """A caller with this token."""
        emulator = self.deployed.emulator
        host = f"{self.deployed.api}.execute-api.localhost:{emulator.port}"
        return Client(emulator.url, token, host)

    def caller(self, sub: str, orgs: Sequence[str] = ()) -> Client:
        """A caller whose `user:` owner is connected to the simulator's installation."""
        self.local.post("/local/owners", {"owner": f"user:{sub}", "table": self.deployed.table})
        return self.stranger(self.issuer.token(sub=sub, orgs=list(orgs)))


def play(report: Report, workspace: Path, binaries: Path) -> None:
    """Deploys, runs the flow, deletes. Only the build, the virtual environment and the logs remain."""
    logs = workspace / "target" / "ministack-logs"
    logs.mkdir(exist_ok=True)
    report.note(f"logs are in {logs}")
    with (
        tempfile.TemporaryDirectory(prefix="ministack-", dir=workspace / "target") as folder,
        issuer.serve(AUDIENCE, f"{deployment.READ} {deployment.WRITE}") as tokens,
        processes.ministack(folder, logs) as emulator,
        processes.simulators(binaries / "simulators", workspace / DATASET, emulator, folder, logs) as simulators,
    ):
        refuse_strangers(report, emulator)
        parameters = deployment.parameters(tokens, simulators)
        with handbook.begin(report, workspace, binaries, emulator, Path(folder) / "checkout", logs) as operator:
            deployed = operating.deploy(report, operator, parameters, simulators)
            demand_tls(report, deployed)
            stack = DeployedStack(deployed, tokens, simulators["url"])
            refuse_bad_tokens(report, stack)
            operating.use(report, operator, stack)
            restored = run(report, stack, workspace / DATASET)
            operating.run(report, operator, stack, restored)
            read_logs(report, emulator, simulators)
            delete(report, operator, stack.deployed)
            operator.close()


def run(report: Report, stack: DeployedStack, dataset: Path) -> Client:
    """Runs the acceptance flow and the faults of delivery. Returns an owner who has findings."""
    queues = Queues(stack.deployed)
    unlucky = stack.caller(f"unlucky|{time.time_ns()}")

    def enable() -> str:
        return unlucky.configure({"enabled": True})["initialSync"]["command"]["id"]

    lost = delivery.lose(queues, enable)
    report.note("the message of a sync is lost; the reconciler should send another")

    owner = acceptance.play(report, stack, dataset)
    delivery.duplicate(report, queues, owner)
    delivery.damage(report, queues, owner, stack.local)
    delivery.exhaust(report, queues, owner, stack.local)
    acceptance.erase(report, owner)

    ended = unlucky.watch(lost)
    waited = (instant(ended["startedAt"]) - instant(ended["acceptedAt"])).total_seconds()
    report.promise(f"the reconciler, run by ministack's schedule, resent the lost message after {waited:.0f} s",
                   ended["attempts"] == 1 and LOST_AFTER <= waited < LOST_AFTER + TICK + SLACK, ended)
    report.equal("and the sync of all repositories reports those it could not read", ended["resultCode"],
                 "REPOSITORY_UNAVAILABLE")
    return unlucky


def instant(text: str) -> datetime:
    """A time as the API writes it."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def refuse_strangers(report: Report, emulator: Emulator) -> None:
    """Checks that ministack enforces policies. Otherwise the template's roles would prove nothing."""
    iam = emulator.client("iam")
    iam.create_user(UserName="stranger")
    key = iam.create_access_key(UserName="stranger")["AccessKey"]
    stranger = emulator.client("sqs", key["AccessKeyId"], key["SecretAccessKey"])
    try:
        stranger.create_queue(QueueName="not-allowed")
        refused = "nothing"
    except ClientError as error:
        refused = error.response["Error"]["Code"]
    report.promise("ministack refuses calls that no policy allows", "AccessDenied" in refused, refused)


def demand_tls(report: Report, deployed: Deployment) -> None:
    """Checks that the queues refuse a user with every permission but no TLS. ministack has no TLS."""
    emulator = deployed.emulator
    iam = emulator.client("iam")
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]}
    queues = [id for name, id in deployed.resources.items() if name.endswith("Queue")]
    refused = {}
    for user in ("somebody", deployment.WITHOUT_TLS):
        iam.create_user(UserName=user)
        iam.put_user_policy(UserName=user, PolicyName="queues", PolicyDocument=json.dumps(allow))
        key = iam.create_access_key(UserName=user)["AccessKey"]
        sqs = emulator.client("sqs", key["AccessKeyId"], key["SecretAccessKey"])
        refused[user] = [queue for queue in queues if refuses(sqs, queue)]
    report.equal(f"all {len(queues)} queues refuse calls without TLS", refused,
                 {"somebody": [], deployment.WITHOUT_TLS: queues})


def refuses(sqs: Any, queue: str) -> bool:
    try:
        sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    except ClientError as error:
        return "AccessDenied" in error.response["Error"]["Code"]
    return False


def refuse_bad_tokens(report: Report, stack: DeployedStack) -> None:
    """Checks that the authorizer verifies signature, issuer, audience, time and scope."""
    sub, issuer = "somebody", stack.issuer
    tokens = {
        "with another key's signature": Issuer(issuer.url, AUDIENCE, issuer.scope).token(sub=sub),
        "of another issuer": issuer.token(sub=sub, iss="https://other.invalid/"),
        "for another audience": issuer.token(sub=sub, aud="other"),
        "that has expired": issuer.token(sub=sub, exp=int(time.time()) - 60),
    }
    for what, token in tokens.items():
        answer = stack.stranger(token).call("GET", "/v1/owners/me/commands")
        report.equal(f"a token {what} is refused", answer.status, 401)
    reader = stack.stranger(issuer.token(sub=sub, scope=deployment.READ))
    looked, changed = reader.call("GET", "/v1/owners/me/commands"), reader.call("DELETE", "/v1/owners/me")
    report.equal("a read-only token reads and changes nothing", (looked.status, changed.status), (200, 403))


def read_logs(report: Report, emulator: Emulator, simulators: dict[str, Any]) -> None:
    """Checks that no role lacks a permission and no log holds a secret."""
    logs = emulator.client("logs")
    groups = {group["logGroupName"]: [event["message"]
                                      for page in logs.get_paginator("filter_log_events").paginate(
                                          logGroupName=group["logGroupName"])
                                      for event in page["events"]]
              for group in logs.describe_log_groups()["logGroups"]}
    lines = [line for group in groups.values() for line in group]
    # Every function. The HTTP API's own log stays empty.
    talkative = sorted(name for name, group in groups.items() if group)
    # AWS requires `sqs:SendMessage` for a batch. ministack requires `sqs:SendMessageBatch`, which AWS does not have.
    refused = [line for line in lines if "AccessDenied" in line and "sqs:SendMessageBatch" not in line]
    report.promise(f"{len(talkative)} functions have logged {len(lines)} lines, none about a refused call",
                   len(talkative) == 10 and not refused, (talkative, refused[:3]))
    key = simulators["githubPrivateKey"].splitlines()[1]
    leaked = [line for line in lines for secret in (key, simulators["agentToken"]) if secret in line]
    report.equal("no log holds a secret", leaked, [])


def delete(report: Report, operator: Handbook, deployed: Deployment) -> None:
    """Deletes the stack and checks that the table stays, until it is deleted too."""
    emulator = deployed.emulator
    rows = count_rows(emulator, deployed.table)
    operator.follow("deploy.md", "Deleting")
    left = {
        "functions": emulator.client("lambda").list_functions()["Functions"],
        "mappings": emulator.client("lambda").list_event_source_mappings()["EventSourceMappings"],
        "queues": emulator.client("sqs").list_queues().get("QueueUrls", []),
        "apis": emulator.client("apigatewayv2").get_apis()["Items"],
        "schedules": emulator.client("scheduler").list_schedules()["Schedules"],
        "roles": emulator.client("iam").list_roles()["Roles"],
    }
    report.equal("nothing of it is left", {what: len(found) for what, found in left.items() if found}, {})
    report.promise(f"but the table is retained, with its {rows} rows",
                   rows > 0 and count_rows(emulator, deployed.table) == rows, rows)
    try:
        emulator.client("dynamodb").delete_table(TableName=deployed.table)
        refused = "nothing"
    except ClientError as error:
        refused = error.response["Error"]["Code"]
    report.equal("and protected from deletion", refused, "ValidationException")
    operator.follow("deploy.md", "Deleting")
    report.promise("until it is unprotected and deleted",
                   deployed.table not in emulator.client("dynamodb").list_tables()["TableNames"])


def count_rows(emulator: Emulator, table: str) -> int:
    pages = emulator.client("dynamodb").get_paginator("scan").paginate(TableName=table, Select="COUNT")
    return sum(page["Count"] for page in pages)
