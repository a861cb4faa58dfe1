"""Delivery faults: messages that are lost, delivered twice or late, damaged, or received too often."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from acceptance import audit_events, open_finding
from deployment import Deployment
from http_client import Client
from report import Report, eventually

# `maxReceiveCount` of the queues in template.yaml.
MAX_RECEIVES = 5


@dataclass(frozen=True)
class Queues:
    """The stack's queues, by their logical ids."""

    deployment: Deployment

    @property
    def sqs(self) -> Any:
        return self.deployment.emulator.client("sqs")

    def url(self, queue: str) -> str:
        return self.deployment.resources[queue]

    def take(self, queue: str, visible_after: int = 60) -> Any:
        """Waits for the one visible message. Returns it."""

        def look() -> Any:
            found = self.sqs.receive_message(QueueUrl=self.url(queue), VisibilityTimeout=visible_after)
            return found.get("Messages")

        [message] = eventually(f"{queue} has a message", look, 30)
        return message

    def send(self, queue: str, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.url(queue), MessageBody=body)

    def delete(self, queue: str, message: Any) -> None:
        self.sqs.delete_message(QueueUrl=self.url(queue), ReceiptHandle=message["ReceiptHandle"])

    def show(self, queue: str, message: Any) -> None:
        """Makes the message visible at once."""
        self.sqs.change_message_visibility(QueueUrl=self.url(queue), ReceiptHandle=message["ReceiptHandle"],
                                           VisibilityTimeout=0)

    def count(self, queue: str) -> int:
        """The number of messages, including those in flight and delayed."""
        found = self.sqs.get_queue_attributes(QueueUrl=self.url(queue), AttributeNames=["All"])["Attributes"]
        return sum(int(found[f"ApproximateNumberOfMessages{kind}"]) for kind in ("", "NotVisible", "Delayed"))

    def drain(self, queue: str) -> None:
        """Waits until every message is acknowledged."""
        eventually(f"{queue} is empty", lambda: self.count(queue) == 0)


def lose(queues: Queues, admit: Callable[[], str]) -> str:
    """Admits a sync and deletes its message. Returns its id."""
    with queues.deployment.paused("SyncFunctionManual"):
        id = admit()
        queues.delete("SyncQueue", queues.take("SyncQueue"))
    return id


def duplicate(report: Report, queues: Queues, owner: Client) -> None:
    """Delivers a message twice at once, and again after its command has ended."""
    with queues.deployment.paused("SyncFunctionManual"):
        id = owner.admit({"type": "sync"})
        message = queues.take("SyncQueue")
        queues.send("SyncQueue", message["Body"])
        queues.show("SyncQueue", message)
    ended = owner.watch(id)
    queues.drain("SyncQueue")
    report.equal("a message delivered twice is processed once",
                 (ended["resultCode"], owner.command(id), effects(owner, id)), ("SYNC_COMPLETED", ended, 1))
    repositories = owner.get("/v1/owners/me/repositories")
    queues.send("SyncQueue", message["Body"])
    queues.drain("SyncQueue")
    report.equal("a message after its command's end changes nothing and syncs no repository",
                 (owner.command(id), effects(owner, id), owner.get("/v1/owners/me/repositories")),
                 (ended, 1, repositories))


def damage(report: Report, queues: Queues, owner: Client, local: Client) -> None:
    """Sends unreadable messages."""
    queues.send("DismissQueue", "this is no message")
    queues.drain("DismissQueue")
    kept = queues.take("MalformedQueue")
    report.equal("an unreadable message is quarantined for an operator", kept["Body"], "this is no message")
    queues.delete("MalformedQueue", kept)

    finding = open_finding(owner, "low")
    with queues.deployment.paused("DismissFunctionDismiss"):
        id = owner.admit({"type": "dismiss_finding", "findingId": finding["id"], "reason": "not_used"})
        message = queues.take("DismissQueue")
        queues.delete("DismissQueue", message)
        damaged = json.dumps(json.loads(message["Body"]) | {"kind": "unknown"})
        queues.send("DismissQueue", damaged)
    report.equal("a damaged message ends the command it names", outcome(owner, local, id, finding),
                 ("failed", "MALFORMED_MESSAGE", "none", "open", "open"))
    kept = queues.take("MalformedQueue")
    report.equal("and is quarantined, too", kept["Body"], damaged)
    queues.delete("MalformedQueue", kept)


def exhaust(report: Report, queues: Queues, owner: Client, local: Client) -> None:
    """Receives a message as often as allowed without processing it."""
    finding = open_finding(owner, "low")
    with queues.deployment.paused("DismissFunctionDismiss"):
        id = owner.admit({"type": "dismiss_finding", "findingId": finding["id"], "reason": "not_used"})
        for _ in range(MAX_RECEIVES):
            queues.take("DismissQueue", visible_after=0)
        # The next receive moves it to the dead-letter queue.
        queues.sqs.receive_message(QueueUrl=queues.url("DismissQueue"))
    report.equal("a message in the dead-letter queue ends its command", outcome(owner, local, id, finding),
                 ("failed", "QUEUE_RETRIES_EXHAUSTED", "none", "open", "open"))
    queues.drain("DismissDeadLetterQueue")
    report.equal("and is acknowledged", (queues.count("DismissQueue"), queues.count("MalformedQueue")), (0, 0))


def outcome(owner: Client, local: Client, id: str, finding: Any) -> tuple[str, ...]:
    """How a dismissal ended, and the states of its finding and alert after it."""
    ended = owner.watch(id)
    alert = local.get(f"/local/github/alerts/{finding['repository']}/{finding['sourceId']}")
    found = owner.get(f"/v1/owners/me/findings/{finding['id']}")
    return ended["status"], ended["resultCode"], ended["effect"], found["status"], alert["state"]


def effects(owner: Client, id: str) -> int:
    """The number of this command's audit events."""
    return sum(event["commandId"] == id for event in audit_events(owner))
