"""Deploys template.yaml with ministack's CloudFormation, with the changes that ministack needs.

docs/emulators.md describes the changes: the code's location (as `sam package` writes it), two environment variables
that are valid on AWS only, the principals of the TLS policy, and the routes of the HTTP API, whose definition ministack
does not read.
"""

import platform
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore
from archive import archive, stripped
from botocore.exceptions import ClientError
from issuer import Issuer
from processes import Emulator
from report import Broken

STACK = "security-agent"
BUCKET = "artifacts"
# The tokens' scopes.
READ, WRITE = "security-agent:read", "security-agent:write"
CODE = re.compile(r"CodeUri: functions/(\S+)")
# ministack does not support alarms on a sum of metrics: leave those out.
ALARM = re.compile(r"  \w+Alarm:\n(?:    .*\n)+")
# ministack passes this parameter as a string, where CloudFormation converts it to a number.
CONCURRENCY = re.compile(r"MaximumConcurrency: !Ref (\w+)")
# ministack has no certificates at Amazon Linux's path, and the functions do not start without them.
CERTIFICATES = "/etc/pki/tls/certs/ca-bundle.crt"
# ministack has no TLS, so the policy that requires it would refuse every call. Here it applies to one user.
TLS_ONLY = 'Condition: { Bool: { "aws:SecureTransport": false } }'
WITHOUT_TLS = "without-tls"
TLS_ONLY_FOR_ONE = ('Condition: { Bool: { "aws:SecureTransport": false }, '
                    f'ArnLike: {{ "aws:PrincipalArn": "arn:aws:iam::*:user/{WITHOUT_TLS}" }} }}')
# The API's address is a name under `localhost`, which some resolvers do not know. This is the same endpoint.
CALLBACK = "${HttpApi.ApiEndpoint}/v1/callbacks"
CALLBACK_BY_PATH = "{url}/_aws/execute-api/${{HttpApi}}/$default/v1/callbacks"


@dataclass(frozen=True)
class Deployment:
    """A created stack."""

    emulator: Emulator
    id: str
    parameters: dict[str, str]
    # Physical ids by logical ids.
    resources: dict[str, str]
    outputs: dict[str, str]

    @property
    def api(self) -> str:
        return self.resources["HttpApi"]

    @property
    def table(self) -> str:
        return self.outputs["TableName"]

    @contextmanager
    def paused(self, mapping: str) -> Iterator[None]:
        """Disables this event source mapping for the duration of the block."""
        functions = self.emulator.client("lambda")
        functions.update_event_source_mapping(UUID=self.resources[mapping], Enabled=False)
        try:
            yield
        finally:
            functions.update_event_source_mapping(UUID=self.resources[mapping], Enabled=True)


def deploy(emulator: Emulator, name: str, workspace: Path, binaries: Path, parameters: dict[str, str]) -> None:
    """Creates the stack and its API's routes, or updates it; parameters that are not given keep their values."""
    template = (workspace / "template.yaml").read_text()
    cloudformation = emulator.client("cloudformation")
    created = not exists(emulator, name)
    if created:
        package(emulator, binaries, CODE.findall(template))
        previous = []
    else:
        [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
        previous = [{"ParameterKey": parameter["ParameterKey"], "UsePreviousValue": True}
                    for parameter in stack["Parameters"] if parameter["ParameterKey"] not in parameters]
    # Upload the template, as `sam deploy` does: in the request it may have at most 51,200 bytes.
    emulator.client("s3").put_object(Bucket=BUCKET, Key="template.yaml", Body=adapted(template, emulator).encode())
    operation = cloudformation.create_stack if created else cloudformation.update_stack
    try:
        operation(
            StackName=name,
            TemplateURL=f"{emulator.url}/{BUCKET}/template.yaml",
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=previous + [{"ParameterKey": key, "ParameterValue": value}
                                   for key, value in parameters.items()],
        )
    except ClientError as error:
        # A build would have given the functions new code.
        if "No updates" not in str(error):
            raise
    expected = "CREATE_COMPLETE" if created else "UPDATE_COMPLETE"
    status = settled(emulator, name)["StackStatus"]
    if status not in (expected, "CREATE_COMPLETE"):
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in events
                   if event["ResourceStatus"].endswith("FAILED")]
        raise Broken(f"the stack is {status}: {reasons}")
    if created:
        open_routes(find(emulator, name))


def exists(emulator: Emulator, name: str) -> bool:
    try:
        emulator.client("cloudformation").describe_stacks(StackName=name)
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return False
    return True


def find(emulator: Emulator, name: str = STACK) -> Deployment:
    """The deployed stack as it is now."""
    cloudformation = emulator.client("cloudformation")
    [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    resources = cloudformation.describe_stack_resources(StackName=stack["StackId"])["StackResources"]
    return Deployment(
        emulator=emulator,
        id=stack["StackId"],
        parameters={parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in stack["Parameters"]},
        resources={resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources},
        outputs={output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]},
    )


def package(emulator: Emulator, binaries: Path, names: list[str]) -> None:
    """Uploads each function's zip to S3."""
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    for name in names:
        s3.put_object(Bucket=BUCKET, Key=f"{name}.zip", Body=archive(stripped(binaries / name), compresslevel=1))


def adapted(template: str, emulator: Emulator) -> str:
    """The template with the changes for ministack. Fails if a change does not apply exactly once."""
    certificates = Path(botocore.__file__).with_name("cacert.pem")
    changes = {
        CERTIFICATES: str(certificates),
        CALLBACK: CALLBACK_BY_PATH.format(url=emulator.url),
        TLS_ONLY: TLS_ONLY_FOR_ONE,
    }
    for old, new in changes.items():
        if template.count(old) != 1:
            raise Broken(f"template.yaml must have {old} once, not {template.count(old)} times")
        template = template.replace(old, new)
    template = ALARM.sub(lambda found: "" if "      Metrics:\n" in found[0] else found[0], template)
    template = CONCURRENCY.sub(lambda found: f"MaximumConcurrency: {default(template, found[1])}", template)
    return CODE.sub(rf"CodeUri: s3://{BUCKET}/\1.zip", template)


def default(template: str, parameter: str) -> str:
    [value] = re.findall(rf"^  {parameter}:\n    Type: Number\n    Default: (\d+)$", template, re.MULTILINE)
    return value


def secrets(emulator: Emulator) -> dict[str, str]:
    """The parameters that name the functions' secrets, which an operator has created."""
    names = {
        "security-agent/github-private-key": "GithubPrivateKeySecretArn",
        "security-agent/agent-token": "AgentTokenSecretArn",
        "security-agent/callback-keys": "CallbackKeysSecretArn",
        "security-agent/cursor-key": "CursorKeySecretArn",
    }
    found = emulator.client("secretsmanager").list_secrets()["SecretList"]
    return {names[secret["Name"]]: secret["ARN"] for secret in found}


def parameters(issuer: Issuer, simulators: dict[str, Any]) -> dict[str, str]:
    """The template's parameters, except the secrets."""
    return {
        "Architecture": {"aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "TokenIssuer": issuer.url,
        "TokenAudience": issuer.audience,
        "TokenReadScope": READ,
        "TokenWriteScope": WRITE,
        "GithubApiUrl": simulators["githubUrl"],
        "GithubAppId": str(simulators["githubAppId"]),
        "AgentUrl": simulators["agentUrl"],
    }


def open_routes(deployment: Deployment) -> None:
    """Creates the routes and the authorizer of the API's definition, which SAM has written into the template."""
    parameters = deployment.parameters
    stacks = deployment.emulator.client("cloudformation")
    template = stacks.get_template(StackName=deployment.id, TemplateStage="Processed")["TemplateBody"]
    definition = template["Resources"]["HttpApi"]["Properties"]["Body"]
    api = deployment.emulator.client("apigatewayv2")
    authorizers = {}
    for name, scheme in definition["components"]["securitySchemes"].items():
        authorizer = scheme["x-amazon-apigateway-authorizer"]
        jwt = authorizer["jwtConfiguration"]
        created = api.create_authorizer(
            ApiId=deployment.api,
            AuthorizerType="JWT",
            Name=name,
            IdentitySource=[authorizer["identitySource"]],
            JwtConfiguration={"Audience": [parameters[value["Ref"]] for value in jwt["audience"]],
                              "Issuer": parameters[jwt["issuer"]["Ref"]]},
        )
        authorizers[name] = {"AuthorizationType": "JWT", "AuthorizerId": created["AuthorizerId"]}
    for path, methods in definition["paths"].items():
        for method, operation in methods.items():
            open_route(deployment, api, f"{method.upper()} {path}", operation, authorizers, parameters)


def open_route(deployment: Deployment, api: Any, key: str, operation: Any, authorizers: dict[str, Any],
               parameters: dict[str, str]) -> None:
    integration = operation["x-amazon-apigateway-integration"]
    [function] = re.findall(r"functions/\$\{(\w+)\.Arn\}/invocations", integration["uri"]["Fn::Sub"])
    name = deployment.resources[function]
    functions = deployment.emulator.client("lambda")
    created = api.create_integration(
        ApiId=deployment.api,
        IntegrationType="AWS_PROXY",
        IntegrationUri=functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"],
        PayloadFormatVersion=integration["payloadFormatVersion"],
    )
    [security] = operation["security"]
    [(scheme, scopes)] = security.items()
    access = {"AuthorizationType": "NONE"}
    if scheme != "NONE":
        access = authorizers[scheme] | {"AuthorizationScopes": [parameters[scope["Ref"]] for scope in scopes]}
    api.create_route(ApiId=deployment.api, RouteKey=key, Target=f"integrations/{created['IntegrationId']}", **access)


def settled(emulator: Emulator, id: str) -> Any:
    """Waits until no operation on the stack is in progress. Returns the stack."""
    while True:
        [stack] = emulator.client("cloudformation").describe_stacks(StackName=id)["Stacks"]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            return stack
        time.sleep(0.2)
