"""`sam` for whoever follows the documents on ministack: `build` does nothing, `deploy` deploys as deployment.py does.

As with the real one, parameters that nobody mentions keep their previous values, and `--guided` asks for them: the
answers are in the file that HANDBOOK_STATE names.
"""

import argparse
import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# For `archive`, which packages the functions.
sys.path.append(str(HERE.parent / "package"))

import deployment  # noqa: E402
from processes import Emulator  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="sam")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build")
    build.add_argument("--parameter-overrides", nargs="*", default=[])
    deploy = commands.add_parser("deploy")
    deploy.add_argument("--guided", action="store_true")
    deploy.add_argument("--stack-name", default=deployment.STACK)
    deploy.add_argument("--parameter-overrides", nargs="*", default=[])
    chosen = parser.parse_args()
    if chosen.command == "build":
        return 0
    state = json.loads(Path(os.environ["HANDBOOK_STATE"]).read_text())
    parameters = dict(override.split("=", 1) for override in chosen.parameter_overrides)
    if chosen.guided:
        parameters = state["answers"] | parameters
    deployment.deploy(Emulator(state["port"]), chosen.stack_name, Path(state["workspace"]), Path(state["binaries"]),
                      parameters)
    return 0


if __name__ == "__main__":
    sys.exit(main())
