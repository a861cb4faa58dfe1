"""What an operator does, by docs/operating: deploys, connects an owner, pauses, restores the table."""

import json
from typing import Any

import deployment
from acceptance import findings
from deployment import BUCKET, STACK, Deployment
from handbook import Handbook
from http_client import Client
from processes import Emulator
from report import Report, eventually

# The simulator's installation, in place of the documents' example.
INSTALLATION = "51000001"
CONNECTED = "operated"
# A function that did not change has no second version, so creating the stack fails there.
IMPOSSIBLE = """\
  Version:
    Type: AWS::Lambda::Version
    DependsOn: Table
    Properties: { FunctionName: !Ref DashboardFunction }
  SecondVersion:
    Type: AWS::Lambda::Version
    DependsOn: Version
    Properties: { FunctionName: !Ref DashboardFunction }
"""


def deploy(report: Report, operator: Handbook, parameters: dict[str, str], simulators: dict[str, Any]) -> Deployment:
    """Follows the first deployment, and checks what a failed one would leave."""
    emulator = operator.emulator
    (operator.folder / "private-key.pem").write_text(simulators["githubPrivateKey"])
    operator.export(AGENT_TOKEN=simulators["agentToken"])
    operator.follow("deploy.md", "Once: what the template does not create")
    operator.follow("deploy.md", "Concurrency")
    parameters |= deployment.secrets(emulator)
    operator.answer(parameters | {"ProtectTable": "false"})
    operator.follow("deploy.md", "The first time")
    report.equal("the first deploy leaves the table unprotected", protected(deployment.find(emulator)), False)
    fail(report, emulator, parameters)
    operator.answer(parameters | {"ProtectTable": "true"})
    operator.follow("deploy.md", "The first time")
    deployed = deployment.find(emulator)
    report.equal("the second protects it", protected(deployed), True)
    policy = emulator.client("cloudformation").get_stack_policy(StackName=STACK)["StackPolicyBody"]
    report.promise("and the stack policy denies replacing it", "Update:Replace" in policy, policy)
    report.promise(f"template.yaml is deployed, {len(deployed.resources)} resources", True)
    return deployed


def fail(report: Report, emulator: Emulator, parameters: dict[str, str]) -> None:
    """A first deploy fails after it has created the table."""
    cloudformation = emulator.client("cloudformation")
    template = emulator.client("s3").get_object(Bucket=BUCKET, Key="template.yaml")["Body"].read().decode()
    template = template.replace("\nResources:\n", f"\nResources:\n{IMPOSSIBLE}")
    emulator.client("s3").put_object(Bucket=BUCKET, Key="doomed.yaml", Body=template.encode())
    before = tables(emulator)
    id = cloudformation.create_stack(
        StackName="doomed",
        TemplateURL=f"{emulator.url}/{BUCKET}/doomed.yaml",
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value}
                    for key, value in (parameters | {"ProtectTable": "false"}).items()],
    )["StackId"]
    report.equal("a first deploy that fails after it has created the table leaves no table",
                 (deployment.settled(emulator, id)["StackStatus"], tables(emulator) - before),
                 ("ROLLBACK_COMPLETE", set()))
    events = cloudformation.get_paginator("describe_stack_events").paginate(StackName=id)
    created = {event["LogicalResourceId"] for page in events for event in page["StackEvents"]
               if event["ResourceStatus"] == "CREATE_COMPLETE"}
    report.promise("although it had created it", "Table" in created, created)
    cloudformation.delete_stack(StackName=id)
    report.equal("and its stack can be deleted", deployment.settled(emulator, id)["StackStatus"], "DELETE_COMPLETE")


def use(report: Report, operator: Handbook, stack: Any) -> None:
    """Connects an owner and follows a command, as the documents say."""
    told = operator.follow("github-app.md", "Connecting an owner",
                           {"auth0|5f7c": CONNECTED, "7890123": INSTALLATION})
    report.equal("the operator connects an owner", json.JSONDecoder().raw_decode(told)[0],
                 {"installationId": int(INSTALLATION), "canReadAlerts": True, "repositories": 11})
    emulator = operator.emulator
    operator.export(API_URL=f"{emulator.url}/_aws/execute-api/{stack.deployed.api}/$default",
                    TOKEN=stack.issuer.token(sub=CONNECTED))
    owner = stack.stranger(stack.issuer.token(sub=CONNECTED))
    owner.configure({"enabled": True, "repositorySelection": "selected",
                     "selectedRepositoryIds": good_repositories(owner)[:1]})
    told = operator.follow("deploy.md", "The first time")
    report.promise("and follows a command to its end", '"SYNC_COMPLETED"' in told, told)
    told = json.loads(operator.follow("audit.md", "Audit events"))["auditEvents"]
    report.equal("whose audit event is the newest", [event["action"] for event in told], ["sync_completed"])


def good_repositories(owner: Client) -> list[int]:
    return [repository["id"] for repository in owner.get("/v1/owners/me/repositories")["repositories"]
            if repository["fullName"] == "acme-appsec/zeppelin"]


def run(report: Report, operator: Handbook, stack: Any, owner: Client) -> None:
    """Follows the runbook, and the incidents."""
    operator.follow("runbook.md", "MissedRuns")
    operator.follow("runbook.md", "TableThrottled")
    pause(report, operator, owner)
    change_keys(report, operator, stack, owner)
    restore(report, operator, stack, owner)
    operator.follow("deploy.md", "Why there is no gradual deployment")
    operator.follow("deploy.md", "Each time")
    operator.export(FUNCTION=stack.deployed.resources["ApiFunction"])
    operator.follow("deploy.md", "What is deployed")


def pause(report: Report, operator: Handbook, owner: Client) -> None:
    id = next(findings(owner))["id"]
    dismissal = {"type": "dismiss_finding", "findingId": id, "reason": "not_used"}

    def refusal() -> Any:
        body = owner.call("POST", "/v1/owners/me/commands", dismissal).body
        return body.get("code")

    operator.follow("runbook.md", "Pausing")
    report.equal("a paused command is refused", refusal(), "COMMAND_PAUSED")
    operator.follow("runbook.md", "Pausing")
    report.promise("and admitted when it is not paused any more", refusal() is None)


def change_keys(report: Report, operator: Handbook, stack: Any, owner: Client) -> None:
    """Replaces every secret, as after a leak. An analysis then needs each of them."""
    incidents = "incidents.md"
    operator.follow(incidents, "Incidents: a key or a token has leaked")
    operator.follow(incidents, "The GitHub App's private key")
    operator.follow(incidents, "A callback key")
    for function in ("ApiFunction", "AnalyseFunction"):
        renew(operator.emulator, stack.deployed.resources[function])
    operator.follow(incidents, "The agent token")
    operator.follow(incidents, "The cursor key")
    operator.follow(incidents, "A caller's token")
    # Not a development dependency, so that nothing recommends a dismissal.
    finding = next(finding for finding in findings(owner)
                   if finding["status"] == "open" and finding["analysis"] is None
                   and finding["dependencyScope"] == "runtime")
    path = f"/v1/owners/me/findings/{finding['id']}"
    owner.watch(owner.admit({"type": "start_analysis", "findingId": finding["id"]}))

    def ended() -> Any:
        status = owner.get(path)["analysis"]["status"]
        return status if status not in ("pending", "running") else None

    report.equal("with changed keys an analysis is launched and reports", eventually("the analysis has ended", ended),
                 "completed")


def renew(emulator: Emulator, function: str) -> None:
    """Replaces the function's processes. Lambda does so at every change, ministack at a changed description not."""
    functions = emulator.client("lambda")
    memory = functions.get_function_configuration(FunctionName=function)["MemorySize"]
    functions.update_function_configuration(FunctionName=function, MemorySize=memory)


def restore(report: Report, operator: Handbook, stack: Any, owner: Client) -> None:
    """Restores the table while a command waits, and has the system go on with it."""
    old = stack.deployed.table
    before = list(findings(owner))
    operator.follow("runbook.md", "Restoring the table")
    answer = owner.call("GET", "/v1/owners/me/summary")
    report.promise("nothing is served while the table is restored", answer.status >= 429, answer.status)
    for _ in range(4):
        operator.follow("runbook.md", "Restoring the table")
    stack.refresh()
    new = stack.deployed.table
    report.promise(f"the stack uses the restored table {new}", new != old, new)
    dynamodb = operator.emulator.client("dynamodb")
    report.promise("which is protected, as the old one is that it keeps",
                   protected(stack.deployed) and dynamodb.describe_table(TableName=old)["Table"][
                       "DeletionProtectionEnabled"], new)
    kept = rows(operator.emulator, old)
    after = eventually("the API is back", lambda: served(owner))
    report.equal("every finding is there", len(after), len(before))
    ended = owner.watch(owner.admit({"type": "sync", "repository": before[0]["repository"]}))
    report.equal("and a sync succeeds", ended["resultCode"], "SYNC_COMPLETED")
    report.promise("which is written to the new table only",
                   rows(operator.emulator, new) > kept == rows(operator.emulator, old), kept)


def served(owner: Client) -> Any:
    return list(findings(owner)) if owner.call("GET", "/v1/owners/me/summary").status == 200 else None


def rows(emulator: Emulator, table: str) -> int:
    pages = emulator.client("dynamodb").get_paginator("scan").paginate(TableName=table, Select="COUNT")
    return sum(page["Count"] for page in pages)


def tables(emulator: Emulator) -> set[str]:
    return set(emulator.client("dynamodb").list_tables()["TableNames"])


def protected(deployed: Deployment) -> bool:
    described = deployed.emulator.client("dynamodb").describe_table(TableName=deployed.table)
    return described["Table"]["DeletionProtectionEnabled"]
