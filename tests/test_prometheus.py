"""Rules and dashboard speak of metrics that exist; promtool and amtool accept them and the example configs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_servers import command
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream.canary import Canary
from stream.limits import Limits
from stream.metrics import Metrics
from stream.resources import Resources
from stream.settings import CanarySettings

HOME = Path(__file__).resolve().parents[1] / "deploy" / "prometheus"


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((HOME / "tocsin.rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def exported_names() -> set[str]:
    registry = CollectorRegistry()
    metrics = Metrics(registry, version="0", config_hash="0")
    Resources(registry, Limits())
    Canary(CanarySettings(), "tocsin", registry)
    metrics.lag.labels("t/0").set(0)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {sample.name for family in families for sample in family.samples}


def test_every_metric_in_the_rules_is_exported() -> None:
    used = {name for alert in alerts() for name in re.findall(r"tocsin_\w+", alert["expr"])}
    assert used and used <= exported_names()


def test_every_metric_in_the_dashboard_is_exported() -> None:
    panels = json.loads((HOME.parent / "grafana" / "tocsin.json").read_text())["panels"]
    used = {
        name for panel in panels for target in panel["targets"] for name in re.findall(r"tocsin_\w+", target["expr"])
    }
    assert used and used <= exported_names()


def test_every_alert_says_what_it_is_and_has_a_runbook_section() -> None:
    sections = {line.removeprefix("### ") for line in (HOME / "README.md").read_text().splitlines() if "### " in line}
    names = [alert["alert"] for alert in alerts()]
    assert set(names) == sections and len(set(names)) == len(names)
    for alert in alerts():
        assert {"summary", "description", "runbook_url"} == set(alert["annotations"])
        assert alert["annotations"]["runbook_url"].endswith("#" + alert["alert"].lower())
        assert alert["labels"]["severity"] in {"critical", "warning"}


def test_every_alert_is_fired_by_a_test() -> None:
    groups = yaml.safe_load((HOME / "tocsin.rules.test.yml").read_text())["tests"]
    tested = [test for group in groups for test in group.get("alert_rule_test", [])]
    assert {test["alertname"] for test in tested if test["exp_alerts"]} == {alert["alert"] for alert in alerts()}


CHECKS = [
    ["promtool", "check", "config", "prometheus.yml"],
    ["promtool", "test", "rules", "tocsin.rules.test.yml"],
    ["amtool", "check-config", "alertmanager.yml"],
]


@pytest.mark.alerting
@pytest.mark.parametrize("words", CHECKS, ids=" ".join)
def test_their_own_tools_accept_the_rules_their_tests_and_the_examples(words: list[str]) -> None:
    done = command(*words, folder=HOME)
    assert done.returncode == 0, done.stdout + done.stderr
