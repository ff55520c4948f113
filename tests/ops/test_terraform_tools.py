"""The tools that check terraform/: what is missing is said, with how to get it; nothing is built unasked."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.services import ROOT


def run(*command: str, tools: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "IRONBOOK_TERRAFORM_TOOLS": str(tools), **variables}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


def pretend(tools: Path, *names: str) -> None:
    """Programs that are there and do nothing."""
    for name in names:
        path = tools / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", path)


def versions() -> dict[str, str]:
    lines = (ROOT / "ops/terraform-tools").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "_version=" in line.split(" ")[0])


def test_without_the_tools_the_check_says_what_is_not_checked_and_how_to_get_them(tmp_path):
    done = run("ops/terraform-check", tools=tmp_path)
    assert done.returncode == 0
    assert "NOT checked" in done.stdout
    for tool in ("AWS provider", "tflint", "terraform-docs", "checkov"):
        assert tool in done.stdout
    assert "make terraform-tools" in done.stdout
    assert not list(tmp_path.iterdir()), "a check must not build anything"


def test_missing_names_only_what_is_missing(tmp_path):
    pretend(tmp_path, f"bin/tflint-{versions()['tflint_version']}")
    done = run("ops/terraform-tools", "missing", tools=tmp_path)
    assert done.returncode == 1
    assert "terraform-docs" in done.stdout
    assert "tflint" not in done.stdout


def test_running_with_missing_tools_is_refused_with_what_to_do(tmp_path):
    done = run("ops/terraform-tools", "run", "true", tools=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "the Terraform tools must be there; run: make terraform-tools\n"


def test_with_all_there_nothing_is_built_and_a_provider_from_elsewhere_is_taken(tmp_path):
    found = versions()
    pretend(tmp_path, f"bin/tflint-{found['tflint_version']}", f"bin/terraform-docs-{found['docs_version']}")
    pretend(tmp_path, f"checkov-{found['checkov_version']}/bin/checkov")
    (tmp_path / f"checkov-{found['checkov_version']}/.ready").touch()
    pretend(tmp_path, "elsewhere/provider", "path/terraform")
    # a stand-in for Terraform, which only says where it would look for the provider
    terraform = tmp_path / "path/terraform"
    terraform.write_text('#!/bin/sh\necho "└── provider[registry.example/hashicorp/aws]"\n')
    path = f"{terraform.parent}:{os.environ['PATH']}"
    provider = str(tmp_path / "elsewhere/provider")
    first = run("ops/terraform-tools", tools=tmp_path, PATH=path, IRONBOOK_TERRAFORM_PROVIDER=provider)
    assert first.returncode == 0, first.stderr
    assert "taking the AWS provider" in first.stdout
    binary = list(tmp_path.glob("mirror/registry.example/hashicorp/aws/*/*/terraform-provider-aws_v*"))
    assert len(binary) == 1
    assert binary[0].read_bytes() == Path("/bin/true").read_bytes()
    again = run("ops/terraform-tools", tools=tmp_path, PATH=path)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("all there: ")
    assert "building" not in again.stdout
    say = "echo $TF_CLI_CONFIG_FILE; command -v tflint"
    shown = run("ops/terraform-tools", "run", "sh", "-c", say, tools=tmp_path, PATH=path)
    assert shown.stdout.splitlines() == [str(tmp_path / "terraform.rc"), str(tmp_path / "path/tflint")]
