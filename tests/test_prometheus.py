"""Rules and dashboard speak of metrics that exist; promtool and amtool accept them and the example configs."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_servers import command
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from detectors.background.worker import Counts
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


def counted_names() -> set[str]:
    """Counters that the parts of a run keep for themselves, wherever in stream/ they are put together."""
    text = "".join(path.read_text() for path in (HOME.parents[1] / "stream").glob("*.py"))
    found = set(re.findall(r'"(tocsin_\w+_total)"', text))
    background = {f"tocsin_background_{field.name}_total" for field in dataclasses.fields(Counts)}
    return found | (background if 'f"tocsin_background_{name}_total"' in text else set())


def test_every_metric_in_the_rules_is_exported() -> None:
    used = {name for alert in alerts() for name in re.findall(r"tocsin_\w+", alert["expr"])}
    assert used and used <= exported_names() | counted_names()


def panels() -> list[dict[str, Any]]:
    """Without the rows' titles."""
    found = json.loads((HOME.parent / "grafana" / "tocsin.json").read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def test_every_metric_in_the_dashboard_is_exported() -> None:
    used = shown()
    assert used and used <= exported_names() | counted_names()


def shown() -> set[str]:
    expressions = [target["expr"] for panel in panels() for target in panel["targets"]]
    return {name for text in expressions for name in re.findall(r"tocsin_\w+", text)}


FLOW = "readings_total rejects_total rows_total lag_messages partitions systems systems_warming variables_silent"
FOUND = "verdicts_total triggers_total silences_total incidents_opened_total incidents_paging muted_detectors"
PAGES = "pages_total pages_held_total pages_suppressed_total warmup_progress_ratio detectors_warming line_ratio"
OUTSIDE = "dependency_attempts_total dependency_failures_total findings_refused_total offset_jumps_total"
STATE = "snapshot_bytes snapshot_written_bytes_total snapshot_timestamp_seconds snapshots_passed_over_total"
ITSELF = "canary_missed_total canary_delay_seconds_bucket memory_resident_bytes config_last_reload_successful"
BESIDE = "background_submitted_total background_dropped_total background_restarts_total background_score_bucket"


def test_what_one_must_see_is_on_the_dashboard() -> None:
    wanted = f"{FLOW} {FOUND} {PAGES} {OUTSIDE} {STATE} {BESIDE} {ITSELF}".split()
    assert {f"tocsin_{name}" for name in wanted} <= shown()


def test_panels_fill_the_grid_and_do_not_overlap() -> None:
    found = json.loads((HOME.parent / "grafana" / "tocsin.json").read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in found):
        columns = range(place["x"], place["x"] + place["w"])
        cells = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
        assert columns.stop <= 24 and not cells & taken, place
        taken |= cells
    assert len(taken) == 24 * (max(y for _, y in taken) + 1)
    assert len({panel["id"] for panel in found}) == len(found)


def test_every_panel_says_what_it_shows_and_heeds_the_choice_of_processes() -> None:
    for panel in panels():
        assert panel["title"] and panel["description"].endswith("."), panel["title"]
        for target in panel["targets"]:
            selected = re.findall(r"tocsin_\w+(\{[^}]*\})?", target["expr"])
            assert all('job=~"$job"' in part and 'instance=~"$instance"' in part for part in selected), panel["title"]


@pytest.mark.alerting
def test_prometheus_understands_the_dashboards_queries(tmp_path: Path) -> None:
    chosen = {"$__rate_interval": "1m", "$job": ".*", "$instance": ".*"}
    texts = [target["expr"] for panel in panels() for target in panel["targets"]]
    for name, value in chosen.items():
        texts = [text.replace(name, value) for text in texts]
    rules = [{"record": f"query_{number}", "expr": text} for number, text in enumerate(texts)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = command("promtool", "check", "rules", "queries.yml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


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
