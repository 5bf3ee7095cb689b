"""What is delivered for operators is valid, and speaks of metrics, settings and exit statuses that there are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from node.config import Settings
from node.errors import ExitCode
from node.gateway import metrics
from node.gateway.settings import GatewaySettings

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yml").read_text())


@pytest.fixture
def rooted(tmp_path: Path) -> Path:
    """A copy of the folder with its secrets made."""
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets", ".env"))
    shutil.copy(DEPLOY / "env.example", tmp_path / "deploy" / ".env")
    subprocess.run([tmp_path / "deploy" / "secrets.sh"], check=True, capture_output=True)
    return tmp_path / "deploy"


def test_secrets_are_made_once_and_are_private(rooted: Path) -> None:
    before = {path.name: path.read_text() for path in (rooted / "secrets").iterdir()}
    subprocess.run([rooted / "secrets.sh"], check=True, capture_output=True)
    assert before == {path.name: path.read_text() for path in (rooted / "secrets").iterdir()}
    assert set(before) == set(COMPOSE["secrets"])
    assert before["postgres_password"] in before["pgpass"]
    assert len(before["grafana_password"]) >= 24
    assert all(path.stat().st_mode & 0o077 == 0 for path in (rooted / "secrets").iterdir())


def test_compose_takes_it(rooted: Path) -> None:
    command = next((c for c in (["docker", "compose"], ["docker-compose"]) if _runs(c)), None)
    if command is None:
        pytest.skip("neither `docker compose` nor docker-compose is installed")
    command = [*command, "-f", "compose.yml", "config", "-q"]
    done = subprocess.run(command, cwd=rooted, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _runs(command: list[str]) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0


def test_variables_of_the_services_are_settings() -> None:
    known = {f"PONW_{name.upper()}" for name in Settings.model_fields}
    known |= {f"PONW_GATEWAY_{name.upper()}" for name in GatewaySettings.model_fields}
    used = {name for service in COMPOSE["services"].values() for name in _environment(service) if "PONW" in name}
    units = "\n".join(path.read_text() for path in (DEPLOY / "systemd").iterdir())
    used |= set(re.findall(r"\bPONW_[A-Z_]+(?==)", units))
    assert used
    assert used <= known | {"PONW_HOME"}


def _environment(service: dict[str, Any]) -> list[str]:
    return list(service.get("environment", {}))


def test_every_file_that_a_service_mounts_is_there() -> None:
    mounts = [volume for service in COMPOSE["services"].values() for volume in service.get("volumes", [])]
    local = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert local
    assert all((DEPLOY / path).exists() for path in local)


def metric_names() -> set[str]:
    """Every series that a gateway has: the declared families and the suffixes of their kinds."""
    text = Path(metrics.__file__).read_text()
    whole = set(re.findall(r'"(ponw_gateway_[a-z_]+)"', text))
    parts = set(re.findall(r'^\s+\("([a-z_]+)", "', text, re.MULTILINE))
    names = whole | {f"ponw_gateway_{part}" for part in parts}
    return names | {f"{name}_{suffix}" for name in names for suffix in ("total", "bucket", "sum", "count")}


@pytest.mark.parametrize("file", ["prometheus/alerts.yml", "grafana/dashboards/gateway.json"])
def test_alerts_and_panels_ask_for_metrics_that_there_are(file: str) -> None:
    asked = set(re.findall(r"\bponw_[a-z_]+\b", (DEPLOY / file).read_text()))
    assert asked
    assert asked <= metric_names()


def test_the_dashboard_is_what_grafana_reads() -> None:
    board = json.loads((DEPLOY / "grafana/dashboards/gateway.json").read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids) >= 10
    assert all(target["expr"] for panel in board["panels"] for target in panel["targets"])


def test_alerts_fire_where_they_should_and_not_before() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    command = ["promtool", "test", "rules", DEPLOY / "prometheus" / "alerts_test.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_unit_is_not_restarted_where_that_changes_nothing() -> None:
    unit = (DEPLOY / "systemd" / "ponw-node.service").read_text()
    found = re.search(r"^RestartPreventExitStatus=(.+)$", unit, re.MULTILINE)
    assert found
    named = {ExitCode(int(code)) for code in found[1].split()}
    assert named == {
        ExitCode.USAGE, ExitCode.CONFIG, ExitCode.WALLET, ExitCode.PASSWORD, ExitCode.CONTRACTS, ExitCode.DIVERGED,
    }  # fmt: skip


def test_scripts_are_executable_and_parse() -> None:
    for script in DEPLOY.glob("*.sh"):
        assert os.access(script, os.X_OK)
        subprocess.run(["bash", "-n", script], check=True)
