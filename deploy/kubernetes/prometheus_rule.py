"""Writes prometheus-rule.yaml, for the Prometheus operator, from deploy/prometheus/tocsin.rules.yml.

python deploy/kubernetes/prometheus_rule.py
"""

from pathlib import Path

HERE = Path(__file__).resolve().parent
RULES = HERE.parent / "prometheus" / "tocsin.rules.yml"
TARGET = HERE / "prometheus-rule.yaml"
HEAD = """\
# Made from deploy/prometheus/tocsin.rules.yml by prometheus_rule.py; change it there. A test holds the two equal.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: tocsin
  labels:
    app.kubernetes.io/name: tocsin
spec:
"""


def rule(rules: str) -> str:
    """The rules of a rule file as a Kubernetes object, text for text."""
    lines = (line for line in rules.splitlines() if not line.startswith("#"))
    return HEAD + "".join(f"  {line}".rstrip() + "\n" for line in lines)


if __name__ == "__main__":
    TARGET.write_text(rule(RULES.read_text()))
