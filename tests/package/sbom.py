"""Writes a bill of materials (CycloneDX 1.6) for a function: what is linked into it, by Cargo.lock."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator
from packageurl import PackageURL

VERSION = SchemaVersion.V1_6
# A line of `cargo tree --prefix depth`: the depth, the package, its version.
LINE = re.compile(r"(\d+)(\S+) v(\S+)")

Name = tuple[str, str]


class Workspace:
    """What cargo knows about the packages of the workspace and of Cargo.lock."""

    def __init__(self, root: Path, target: str) -> None:
        self.root = root
        self.target = target
        found = json.loads(self.cargo("metadata", "--format-version=1", "--filter-platform", target))
        self.packages: dict[Name, Any] = {(one["name"], one["version"]): one for one in found["packages"]}
        locked = tomllib.loads((root / "Cargo.lock").read_text())["package"]
        self.checksums = {(one["name"], one["version"]): one.get("checksum") for one in locked}
        self.compiler = re.search(r"release: (\S+)", self.run("rustc", "-vV")).group(1)

    def run(self, *command: str) -> str:
        return subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True).stdout

    def cargo(self, *arguments: str) -> str:
        return self.run("cargo", *arguments, "--locked")

    def linked(self, function: str) -> dict[Name, set[Name]]:
        """The packages in a function, each with those that it uses. Without macros and build scripts."""
        tree = self.cargo("tree", "--package", function, "--target", self.target,
                          "--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", "{p}")
        edges: dict[Name, set[Name]] = {}
        path: list[Name] = []
        for depth, *name in (match.groups() for match in map(LINE.match, tree.splitlines()) if match):
            name = tuple(name)
            edges.setdefault(name, set())
            del path[int(depth):]
            if path:
                edges[path[-1]].add(name)
            path.append(name)
        return edges

    def component(self, name: Name) -> Component:
        package = self.packages[name]
        checksum = self.checksums[name]
        licenses = LicenseFactory()
        # Some packages separate alternatives with a slash, which is no SPDX expression.
        expression = re.sub(r" */ *", " OR ", package["license"])
        return Component(
            type=ComponentType.LIBRARY,
            name=package["name"],
            version=package["version"],
            description=package["description"],
            bom_ref=f"{package['name']}@{package['version']}",
            licenses=[licenses.make_from_string(expression)],
            purl=PackageURL("cargo", None, *name) if package["source"] else None,
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else [],
        )


def sbom(workspace: Workspace, function: str, digest: str) -> str:
    """The bill of materials of a function whose zip has this SHA-256. Equal zips have equal ones: no time is in it."""
    edges = workspace.linked(function)
    components = {name: workspace.component(name) for name in edges}
    root = next(name for name in edges if name[0] == function)
    components[root].type = ComponentType.APPLICATION
    components[root].hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest)]
    library = Component(
        type=ComponentType.LIBRARY,
        name="std",
        version=workspace.compiler,
        description="Rust's standard library",
        bom_ref=f"std@{workspace.compiler}",
        licenses=[LicenseFactory().make_from_string("MIT OR Apache-2.0")],
    )
    bom = Bom(
        components=[*(component for name, component in components.items() if name != root), library],
        metadata=BomMetaData(component=components[root]),
        serial_number=uuid5(NAMESPACE_URL, f"{function}/{digest}"),
    )
    bom.metadata.timestamp = None
    for name, used in edges.items():
        bom.register_dependency(components[name], [*(components[one] for one in used), library])
    text = make_outputter(bom, OutputFormat.JSON, VERSION).output_as_string(indent=1)
    if invalid := make_schemabased_validator(OutputFormat.JSON, VERSION).validate_str(text):
        raise ValueError(f"the bill of materials of {function} violates CycloneDX's schema: {invalid}")
    return text + "\n"
