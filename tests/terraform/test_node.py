"""What an engine node's user data leaves: executed in a Debian root, and looked at by the doctor's own rules."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine_node import doctor
from engine_node.logs import Log
from ironbook.secret_store import settings as follower
from tests.support.aws import Aws
from tests.support.services import ROOT
from tests.terraform.node import machine

MODULE = ROOT / "terraform/modules/engine_node"
SECRETS = {
    name: f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:ironbook-test/{name}-AbCdEf"
    for name in ("database/follower", "kafka/publisher")
}

AUTHORITY = (ROOT / "terraform/mocks/database-ca.pem").read_text()


EXTRAS = ("cloud", "streams")  # what the follower and retention need of AWS, and the publisher of Kafka
PROGRAM = f"""
import importlib.util
print("the engine node of the bundle with", *(name for name in {EXTRAS} if importlib.util.find_spec("for_" + name)))
"""


def wheel(name: str, files: dict[str, str], metadata: str = "") -> bytes:
    """A package that pip really installs."""
    packed, info = io.BytesIO(), f"{name}-0.1.0.dist-info"
    with zipfile.ZipFile(packed, "w") as into:
        for path, text in files.items():
            into.writestr(path, text)
        into.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n{metadata}")
        into.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        into.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name} = {name}:main\n")
        into.writestr(f"{info}/RECORD", "")
    return packed.getvalue()


@functools.cache
def bundle() -> bytes:
    """A release bundle: a package of that name, and what it needs for each of its extras."""
    extras = "".join(f"Provides-Extra: {name}\nRequires-Dist: for_{name}; extra == '{name}'\n" for name in EXTRAS)
    code = {"ironbook/__init__.py": "", "engine_node/__init__.py": "", "engine_node/__main__.py": PROGRAM}
    wheels = {"ironbook": wheel("ironbook", code, extras)}
    wheels |= {f"for_{name}": wheel(f"for_{name}", {f"for_{name}/__init__.py": ""}) for name in EXTRAS}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as files:
        for name, data in wheels.items():
            member = tarfile.TarInfo(f"wheels/{name}-0.1.0-py3-none-any.whl")
            member.size = len(data)
            files.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def rendered(place: Path, sha256: str) -> bytes:
    """The module's template as Terraform itself fills it; no provider is needed for that."""
    module = (MODULE / "main.tf").read_text()
    wanted = module[module.index("ops    = ") : module.index("# What a machine's disks")]
    call = module[module.index("user_data = {") : module.index("\n}\n\n# ---- Network")]
    nodes = module[module.index("  nodes = merge(") : module.index("  on_ebs")]
    text = f"""
    variable "name" {{ default = "ironbook-test" }}
    variable "environment" {{ default = "test" }}
    variable "shard" {{ default = 0 }}
    variable "archive_bucket_name" {{ default = "ironbook-test-archive" }}
    variable "standby" {{ default = false }}
    variable "subnet_ids" {{ default = ["subnet-1"] }}
    variable "zone_names" {{ default = ["a"] }}
    variable "cpus" {{ default = {{ engine = 3, sync = 2, background = 1 }} }}
    variable "survival_level" {{ default = "cluster" }}
    variable "kafka_bootstrap" {{ default = "b-1:9096,b-2:9096" }}
    variable "database_ca_pem" {{ default = {json.dumps(AUTHORITY)} }}
    variable "bundle" {{ default = {{ uri = "s3://releases/engine/0.1.0.tar.gz", sha256 = "{sha256}" }} }}
    variable "secret_arns" {{ default = {json.dumps(SECRETS).replace(": ", " = ")} }}
    locals {{
    {nodes}
    {wanted}
    journal_device = {{ primary = "/dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_*" }}
    {call}
    }}
    output "text" {{ value = local.user_data["primary"] }}
    """
    text = text.replace("${path.module}", str(MODULE)).replace("data.aws_region.this.region", '"eu-central-1"')
    (place / "main.tf").write_text(text)
    environment = {**os.environ, "TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1"}
    for command in ("init", "-input=false"), ("apply", "-auto-approve", "-input=false"):
        line = ["terraform", *command, "-no-color"]
        done = subprocess.run(line, cwd=place, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return subprocess.check_output(["terraform", "output", "-raw", "text"], cwd=place, env=environment)


@pytest.fixture(scope="module")
def user_data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return rendered(tmp_path_factory.mktemp("user-data"), hashlib.sha256(bundle()).hexdigest())


@pytest.fixture(scope="module")
def node(user_data: bytes, aws_server: Aws) -> dict[str, Any]:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("namespaces and loop devices must be allowed: run as root on Linux")
    image = subprocess.check_output([ROOT / "tests/terraform/debian-root"], text=True).strip()
    s3 = aws_server.client("s3")
    s3.create_bucket(Bucket="releases", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_object(Bucket="releases", Key="engine/0.1.0.tar.gz", Body=bundle())
    return machine(gzip.compress(user_data), aws_server.environment(), image)


def test_user_data_fits_and_holds_no_secret(user_data: bytes) -> None:
    assert len(gzip.compress(user_data)) < 16_384  # what EC2 takes
    text = user_data.decode()
    assert "PRIVATE KEY" not in text
    assert "password" not in text.replace("with a password", "")


def test_cloud_init_takes_it_as_it_is_and_every_stage_succeeds(node: dict[str, Any]) -> None:
    assert node["first"]["result"]["errors"] == [], node["first"]["log"][-3000:]
    assert "Invalid" not in node["first"]["schema"]
    assert "ironbook-node-setup: done: primary" in node["first"]["log"]


def test_it_may_be_set_up_again(node: dict[str, Any]) -> None:
    assert "done: primary" in node["first"]["again"]


def test_the_bundle_is_installed_where_the_unit_looks_for_it_with_all_that_it_brings(node: dict[str, Any]) -> None:
    assert node["first"]["bundle"] == "the engine node of the bundle with cloud streams"
    packed = (ROOT / "ops/make-bundle").read_text()
    assert f"'.[{','.join(EXTRAS)}]'" in packed, "what is installed is what was packed"


def test_systemd_finds_nothing_wrong_with_the_units_and_starts_what_it_must(node: dict[str, Any]) -> None:
    assert {name for name, _ in node["first"]["verify"].items()} >= {
        "ironbook-engine.service", "ironbook-heartbeat.service", "ironbook-heartbeat.timer", "ironbook-machine.service",
        "ironbook-secrets.service", "ironbook-metrics.service", "ironbook-metrics.timer",
        "ironbook-retention.service", "ironbook-retention.timer", "prometheus-node-exporter.service",
    }  # fmt: skip
    assert not any(node["first"]["verify"].values()), node["first"]["verify"]
    started = {"ironbook-engine.service", "ironbook-machine.service", "ironbook-secrets.service"}
    started |= {"ironbook-heartbeat.timer", "ironbook-metrics.timer", "prometheus-node-exporter.service"}
    assert started | {"chrony.service"} <= {*node["first"]["enabled"]}
    assert "irqbalance.service" not in node["first"]["enabled"]
    assert "swap.target" in node["first"]["masked"]


def test_the_kernel_command_line_isolates_the_engines_cpu(node: dict[str, Any]) -> None:
    words = node["first"]["kernel_line"].split()
    assert {"isolcpus=managed_irq,domain,3", "nohz_full=3", "rcu_nocbs=3", "irqaffinity=0", "nosmt"} <= {*words}


def test_the_journals_disk_is_in_fstab_by_its_own_name_and_swap_is_not(node: dict[str, Any]) -> None:
    lines = [line.split() for line in node["first"]["fstab"].splitlines() if line and not line.startswith("#")]
    (journal,) = [line for line in lines if line[1] == "/var/lib/ironbook"]
    assert journal[0].startswith("UUID=")
    assert journal[2] == "xfs"
    assert {"noatime", "nosuid", "nodev", "nofail"} <= {*journal[3].split(",")}
    assert not [line for line in lines if line[2] == "swap"]


def test_directories_are_the_engines_alone(node: dict[str, Any]) -> None:
    assert node["first"]["modes"]["/var/lib/ironbook"] == f"0700 {node['first']['owner']}"
    assert node["first"]["modes"]["/etc/ironbook"] == "0750 0"
    assert node["first"]["modes"]["/usr/local/sbin/ironbook-machine"] == "0755 0"


def test_the_clock_is_amazons_and_is_slewed(node: dict[str, Any]) -> None:
    assert "server 169.254.169.123 prefer" in node["first"]["chrony"]
    assert "leapsecmode slew" in node["first"]["chrony"]


def test_the_doctor_finds_much_to_mend_before_and_nothing_after(node: dict[str, Any]) -> None:
    before = {found["check"]: found["result"] for found in node["next"]["before"]}
    wrong = {name for name, result in before.items() if result in ("warn", "bad")}
    assert wrong >= {"isolated_cpu", "smt_sibling", "governor", "interrupts", "numa", "clock_source", "rt_throttling",
                     "huge_pages", "backlog"}  # fmt: skip
    after = node["next"]["after"]
    assert len(after) == len(doctor.CHECKS) == 18
    assert {found["result"] for found in after} == {"ok"}, [found for found in after if found["result"] != "ok"]


def test_the_boot_script_and_sysctl_say_nothing_is_wrong(node: dict[str, Any]) -> None:
    assert node["next"]["script"] == ""
    assert "kernel.sched_rt_runtime_us = -1" in node["next"]["sysctl"]
    assert node["next"]["deep_sleep_disabled"] == "1"


def test_the_engine_and_the_follower_take_the_settings(node: dict[str, Any], user_data: bytes, tmp_path: Path) -> None:
    wishes = node["next"]["wishes"]  # read by the engine's own settings
    assert (wishes["engine_cpu"], wishes["background_cpu"]) == (3, 1)
    assert wishes["busy_poll"]
    assert wishes["lock_memory"]
    files = {file["path"]: file["content"] for file in yaml.safe_load(user_data)["write_files"]}
    (tmp_path / "secrets.toml").write_text(files["/etc/ironbook/secrets.toml"])
    followed = follower.load(tmp_path / "secrets.toml")
    assert {file.secret for file in followed.files} == {*SECRETS.values()}


def test_retention_comes_with_the_engine_on_whichever_node_and_knows_the_archive(user_data: bytes) -> None:
    files = {file["path"]: file["content"] for file in yaml.safe_load(user_data)["write_files"]}
    asked = re.findall(r"^Wants=(.*)$", files["/etc/systemd/system/ironbook-engine.service.d/node.conf"], re.MULTILINE)
    assert "ironbook-retention.timer" in asked[0].split()
    unit = files["/etc/systemd/system/ironbook-retention.service"]
    assert "EnvironmentFile=/etc/ironbook/retention.env\n" in unit
    text = files["/etc/ironbook/retention.env"]
    told = dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))
    assert told == {
        "IRONBOOK_ARCHIVE": "s3://ironbook-test-archive/",
        "IRONBOOK_RETENTION_LOCK_DAYS": "1",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }


def measures(place: Path, line: str, *, active: bool) -> dict[str, float]:
    """What ironbook-metrics writes, given the journal's last line of counters and whether the engine runs."""
    place.mkdir()
    for name, text in {"journalctl": f"cat <<'END'\n{line}END\n", "systemctl": f"exit {int(not active)}\n"}.items():
        (place / name).write_text(f"#!/bin/sh\n{text}")
        (place / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{place}:{os.environ['PATH']}"}
    subprocess.run([sys.executable, ROOT / "ops/node/ironbook-metrics", place], env=environment, check=True, timeout=60)
    rows = [row.split() for row in (place / "ironbook.prom").read_text().splitlines()]
    return {name: float(value) for name, value in rows}


def test_what_the_engine_counts_is_told_as_measures_and_nothing_old_of_one_that_is_down(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    log = Log(writer, now_ns=lambda: 1_700_000_000_500_000_000)
    log.info("counters", sequence=7, counters={"records": 5, "unshipped_records": 0})
    log.close()
    os.close(writer)
    with open(reader) as lines:
        line = lines.read()
    assert measures(tmp_path / "up", line, active=True) == {
        "ironbook_engine_up": 1,
        "ironbook_engine_told_seconds": 1_700_000_000.5,
        "ironbook_engine_sequence": 7,
        "ironbook_engine_records": 5,
        "ironbook_engine_unshipped_records": 0,
    }
    assert measures(tmp_path / "down", line, active=False) == {"ironbook_engine_up": 0}
    assert measures(tmp_path / "silent", "", active=True) == {"ironbook_engine_up": 1}
