"""`make terraform-apply-local`: every environment applied, planned again, and destroyed, without an AWS account.

    python -m tests.terraform.apply_local [dev|staging|production ...]

The real Terraform with the real AWS provider speaks to moto's server and what gaps.py adds to it. For each environment:

    apply      everything is made
    plan       must find "No changes": what was made is what was meant. What EXPECTED names may differ, and is printed
    apply      with deletion_protection=false, as a person does before a destroy
    destroy    nothing is left

The environment's own files are used as they are, copied beside overrides for the state (local) and the provider (where
to find the server). Nothing is left out. It proves that the configuration is one that the provider and an API take, not
that AWS does what it says: nothing runs. What Terraform said is kept in build/terraform-apply-local.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any, Final

from tests.support.aws import CREDENTIALS, REGION, Aws
from tests.support.services import ROOT

ENVIRONMENTS: Final = ("dev", "staging", "production")
STEP_TIMEOUT_S: Final = 1200
FUNCTIONS: Final = ("reporting", "rotation", "archiver", "canary")
LOGS: Final = ROOT / "build/terraform-apply-local"  # what Terraform said, and the second plan as JSON
# Addresses (regular expressions) of resources that the second plan may still want to change here, and why.
EXPECTED: Final[dict[str, str]] = {}
SERVICES: Final = (
    "acm", "amp", "appautoscaling", "budgets", "cloudwatch", "dynamodb", "ec2", "ecr", "ecs", "elbv2", "events",
    "grafana", "iam", "kafka", "kms", "lambda", "logs", "rds", "route53", "s3", "s3control", "secretsmanager", "sesv2",
    "sns", "sqs", "ssm", "sts", "wafv2",
)  # fmt: skip


def override(url: str) -> str:
    """What differs from a real account: where state and services are. Merged over the environment's own."""
    endpoints = "\n".join(f'    {service} = "{url}"' for service in SERVICES)
    return f"""
terraform {{
  backend "local" {{}}
}}

provider "aws" {{
  access_key                  = "{CREDENTIALS["AWS_ACCESS_KEY_ID"]}"
  secret_key                  = "{CREDENTIALS["AWS_SECRET_ACCESS_KEY"]}"
  region                      = "{REGION}"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  s3_use_path_style           = true
  max_retries                 = 2

  endpoints {{
{endpoints}
  }}
}}
"""


def furnish(place: Path, environment: str, url: str) -> Path:
    """The repository as far as Terraform reads it, in a directory that may be written to."""
    shutil.copytree(ROOT / "terraform", place / "terraform", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    for beside in ("ops", "schemas"):
        (place / beside).symlink_to(ROOT / beside)
    packages = place / "build/functions"
    packages.mkdir(parents=True)
    for name in FUNCTIONS:
        built = ROOT / f"build/functions/{name}.zip"
        if built.is_file():
            (packages / built.name).symlink_to(built)
        else:
            with zipfile.ZipFile(packages / f"{name}.zip", "w") as stand_in:
                stand_in.writestr("functions/README", "make functions builds the real one")
    directory = place / "terraform/environments" / environment
    shutil.copy(ROOT / "terraform/mocks/database-ca.pem", directory / "database-ca.pem")
    (directory / "local_override.tf").write_text(override(url))
    return directory


class Step:
    """Terraform in one environment."""

    def __init__(self, directory: Path, url: str) -> None:
        self._directory = directory
        self._logs: list[Path] = []
        self._environment = {
            **os.environ,
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            "HTTP_PROXY": url,  # S3's control calls go to a host named by the account
            "http_proxy": url,
            "NO_PROXY": "",
            "no_proxy": "",
        }
        self._environment.pop("AWS_ENDPOINT_URL", None)

    def run(self, *arguments: str, allowed: tuple[int, ...] = (0,)) -> str:
        """One command; its output. Ends the program where it fails."""
        began = time.monotonic()
        LOGS.mkdir(parents=True, exist_ok=True)
        log = LOGS / f"{self._directory.name}-{len(self._logs)}-{arguments[0]}.log"
        self._logs.append(log)
        with log.open("w") as output:
            status = subprocess.run(
                ["terraform", f"-chdir={self._directory}", arguments[0], "-no-color", *arguments[1:]],
                env=self._environment, stdout=output, stderr=subprocess.STDOUT, timeout=STEP_TIMEOUT_S, check=False,
            ).returncode  # fmt: skip
        took_s = time.monotonic() - began
        said = log.read_text()
        if status not in allowed:
            tail = "\n".join(said[-20_000:].splitlines()[-200:])
            raise SystemExit(f"terraform {arguments[0]} failed after {took_s:.0f} s in {self._directory.name}:\n{tail}")
        summary = re.findall(r"^(?:Apply complete!|Destroy complete!|No changes\.|Plan:).*$", said, re.MULTILINE)
        print(f"  {arguments[0]:<8} {took_s:5.0f} s  {' '.join(summary)}", flush=True)
        return said


def unexpected(plan: dict[str, Any]) -> list[str]:
    """What a second plan wants to change and EXPECTED does not name; what it names is printed with its reason."""
    found = []
    changes = [change for change in plan.get("resource_changes", []) if change["mode"] == "managed"]
    changes = [change for change in changes if change["change"]["actions"] != ["no-op"]]
    for change in changes:
        address, actions = change["address"], "+".join(change["change"]["actions"])
        reason = next((why for pattern, why in EXPECTED.items() if re.fullmatch(pattern, address)), None)
        if reason is None:
            found.append(f"{address}: {actions}")
        else:
            print(f"  expected {address}: {actions}: {reason}", flush=True)
    return found if changes else ["only outputs differ"]


def one(environment: str) -> None:
    """Apply, plan again, destroy."""
    print(f"{environment}:", flush=True)
    with tempfile.TemporaryDirectory(prefix="terraform-") as place, Aws.start("tests.terraform.server") as aws:
        directory = furnish(Path(place), environment, aws.url)
        step = Step(directory, aws.url)
        step.run("init", "-input=false")
        step.run("apply", "-auto-approve", "-input=false", "-parallelism=20")
        again = step.run(
            "plan", "-input=false", "-detailed-exitcode", "-parallelism=20", "-out=again.tfplan", allowed=(0, 2)
        )
        differ: list[str] = []
        if "No changes." not in again:
            plan = step.run("show", "-json", "again.tfplan")
            (LOGS / f"{environment}-again.json").write_text(plan)
            differ = unexpected(json.loads(plan))
        resources = json.loads((directory / "terraform.tfstate").read_text())["resources"]
        count = sum(len(found["instances"]) for found in resources if found["mode"] == "managed")
        # Nothing has moved since the plan looked, so neither need look at everything again.
        unprotected = "-var=deletion_protection=false"
        step.run("apply", "-auto-approve", "-input=false", "-parallelism=20", "-refresh=false", unprotected)
        step.run("destroy", "-auto-approve", "-input=false", "-parallelism=20", "-refresh=false", unprotected)
        left = json.loads((directory / "terraform.tfstate").read_text())["resources"]
        if left:
            raise SystemExit(f"nothing must be left of {environment}, found: {[found['name'] for found in left]}")
        print(f"  {count} resources", flush=True)
        if differ:
            raise SystemExit(f"the second plan of {environment} must find no changes, found:\n" + "\n".join(differ))


def main() -> None:
    """The environments that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environments", nargs="*", metavar="ENVIRONMENT", help=f"some of {', '.join(ENVIRONMENTS)}")
    chosen = parser.parse_args().environments or [*ENVIRONMENTS]
    for environment in chosen:
        if environment not in ENVIRONMENTS:
            sys.exit(f"an environment must be one of {', '.join(ENVIRONMENTS)}, was {environment!r}")
        one(environment)


if __name__ == "__main__":
    main()
