#!/usr/bin/env python3
"""Compares the account's Lambda concurrency with what template.yaml can use: preflight.py [PARAMETER=VALUE ...]

Takes the parameters that `sam deploy` gets. Ends with 0 if everything fits, with 1 if functions can be throttled or
the deploy would be refused, with 2 if the account or the template cannot be read.
"""

import pathlib
import re
import subprocess
import sys

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / "template.yaml"
# Lambda keeps this much for functions without a reservation; all of it in an account that has less.
UNRESERVED = 100
# One request and one run of the reconciler beside the event sources.
BESIDE = 2
# An event source cannot be limited to fewer.
LEAST = 2
QUOTA = "aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384"


def account():
    """The account's concurrency, and what of it no function has reserved."""
    command = ["aws", "lambda", "get-account-settings", "--output", "text", "--query",
               "AccountLimit.[ConcurrentExecutions,UnreservedConcurrentExecutions]"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        limit, unreserved = map(int, answer.split())
    except FileNotFoundError:
        fail("cannot read the account's concurrency: there is no `aws` on the PATH; install the AWS CLI")
    except subprocess.CalledProcessError as error:
        fail(f"cannot read the account's concurrency: {error.stderr.strip() or error}")
    except ValueError:
        fail(f"cannot read the account's concurrency: `{' '.join(command)}` answered {answer!r}")
    return limit, unreserved


def parameters(template, chosen):
    """The value of each parameter: as chosen, or its default."""
    declared = template.split("\nParameters:\n", 1)[1].split("\nConditions:\n", 1)[0]
    values = {}
    for block in re.split(r"\n(?=  \w)", declared):
        name = re.match(r"\s*(?:#.*\n\s*)*(\w+):", block)
        default = re.search(r"\n    Default: (.*)", block)
        if name:
            values[name[1]] = default[1].strip('"') if default else ""
    unknown = set(chosen) - set(values)
    if unknown:
        fail(f"template.yaml has no parameter {', '.join(sorted(unknown))}")
    return values | chosen


def sources(template, values):
    """How many invocations each event source can have at once, and the parameter that says so."""
    found = []
    for limit in re.findall(r"\{ MaximumConcurrency: (?:!Ref )?(\w+) \}", template):
        value = values.get(limit, limit)
        if not value.isdigit():
            fail(f"{limit} is {value!r}, not a number")
        found.append((int(value), limit if limit in values else None))
    return found


def fail(message):
    print(message, file=sys.stderr)
    sys.exit(2)


def main():
    pairs = [argument.partition("=") for argument in sys.argv[1:]]
    if not all(equals for _, equals, _ in pairs):
        fail(__doc__)
    template = TEMPLATE.read_text()
    values = parameters(template, {name: value for name, _, value in pairs})
    limits = sources(template, values)
    used = sum(limit for limit, _ in limits)
    reserved = sum(int(values[name]) for name in values if name.endswith("ReservedConcurrency"))
    limit, unreserved = account()
    left = unreserved - reserved
    print(f"The account runs {limit} invocations at once; functions have reserved {limit - unreserved} of them.")
    print(f"Event sources use up to {used}: " + ", ".join(
        f"{name} {limit}" for limit, name in limits if name) + ", and "
        f"{sum(limit for limit, name in limits if not name)} for erasures and dead letters, which are rare.")
    fits = True
    if reserved and left < min(UNRESERVED, limit):
        fits = False
        print(f"Lambda refuses to reserve {reserved}: {min(UNRESERVED, limit)} must stay unreserved. Leave the "
              "parameters that end in ReservedConcurrency at 0, or raise the quota.")
    if left < used + BESIDE:
        fits = False
        least = sum(LEAST if name else limit for limit, name in limits)
        print(f"Functions can be throttled: {left} remain for {used} from event sources and {BESIDE} for the API and "
              "the reconciler. Nothing is lost, but commands wait and the API answers 503. Raise the quota:")
        print(f"  {QUOTA} --desired-value 1000")
        if least < used:
            names = sorted({name for limit, name in limits if name and limit > LEAST})
            print(f"Until then, deploy with less ({least} at once):")
            print("  sam deploy --parameter-overrides " + " ".join(f"{name}={LEAST}" for name in names))
    if fits:
        print(f"It fits: {left - used} remain for the API and the reconciler.")
    sys.exit(0 if fits else 1)


if __name__ == "__main__":
    main()
