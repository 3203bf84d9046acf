"""Image, compose and Kubernetes files agree with each other and with what tocsin is; no container engine is needed."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import alert_servers
import broker
import locked
import prometheus_rule
import pytest
import yaml

from stream.cli import main, parser
from stream.config import load
from stream.settings import RunnerSettings

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
IMAGE, COMPOSE, KUBERNETES = DEPLOY / "docker" / "Dockerfile", DEPLOY / "compose", DEPLOY / "kubernetes"
USER, PORT = 65532, 9464


def document(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def instructions() -> list[tuple[str, str]]:
    """(instruction, the rest) of the Dockerfile, continued lines joined."""
    text = "\n".join(line for line in IMAGE.read_text().splitlines() if not line.startswith("#"))
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [(words[0], words[2]) for line in lines if line.strip() and (words := line.partition(" "))]


def services() -> dict[str, Any]:
    found: dict[str, Any] = document(COMPOSE / "compose.yml")["services"]
    return found


def kubernetes(kind: str) -> Any:
    """The one object of a kind."""
    [found] = [each for path in KUBERNETES.glob("*.yaml") if (each := document(path)).get("kind") == kind]
    return found


def container() -> Any:
    [found] = kubernetes("StatefulSet")["spec"]["template"]["spec"]["containers"]
    return found


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of a pod, with its Secret in a folder."""
    for variable in container()["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", "tocsin-0"))
    monkeypatch.setenv("SECRETS", str(tmp_path))
    for name in ("password", "ca.crt"):
        (tmp_path / name).write_text("secret")


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.y*ml")), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_yaml_is_read_and_names_no_key_twice(path: Path) -> None:
    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
            names = [key.value for key, _ in node.value if key.value != "<<"]
            assert len(names) == len(set(names)), f"{path}, line {node.start_mark.line + 1}: {names}"
            return super().construct_mapping(node, deep)

    assert list(yaml.load_all(path.read_text(), Strict))


# The image


def test_the_image_copies_what_is_there_and_sent_to_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sources = [
        word for name, rest in instructions() if name == "COPY" and "--from" not in rest for word in rest.split()[:-1]
    ]
    assert {"detectors", "stream", "requirements.lock"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source
    assert ignored[1] == "*" and {line[1:] for line in ignored if line.startswith("!")} == set(sources)


def test_the_image_runs_as_a_number_and_is_told_of_sigterm() -> None:
    for line in (("USER", f"{USER}:{USER}"), ("STOPSIGNAL", "SIGTERM"), ("EXPOSE", str(PORT))):
        assert line in instructions()
    assert ("ENTRYPOINT", '["/opt/tocsin/start.sh"]') in instructions()
    start = DEPLOY / "docker" / "start.sh"
    assert start.read_text().rstrip().endswith('exec tocsin "$@"') and start.stat().st_mode & 0o111
    [check] = [rest for name, rest in instructions() if name == "HEALTHCHECK" and rest != "NONE"]
    assert f"http://127.0.0.1:{PORT}/-/healthy" in check


def test_images_are_named_without_a_registry() -> None:
    stages = {rest.split(" AS ")[-1] for name, rest in instructions() if name == "FROM"}
    images = [rest.split(" AS ")[0] for name, rest in instructions() if name == "FROM"]
    images += [service["image"] for service in services().values()] + [container()["image"]]
    for image in images:
        assert "." not in image.split("/")[0].split(":")[0], image
        assert image in stages or image == "tocsin" or re.search(r":[v$\d]", image), f"{image} has no version"


def test_commands_of_image_compose_and_pods_are_tocsins() -> None:
    commands = [json.loads(rest) for name, rest in instructions() if name == "CMD" and "run" in rest]
    commands += [services()["topics"]["command"], container()["args"]]
    assert len(commands) == 3
    for command in commands:
        assert parser().parse_args(command).config == "/etc/tocsin/tocsin.yml"


def locked_for(*asked: str) -> set[str]:
    packages = locked.read((ROOT / "requirements.lock").read_text())
    return set(locked.needed(packages, locked.roots(packages, {"torch": ["torch>=2"]}, list(asked))))


def test_the_image_gets_what_tocsin_imports_and_not_the_tests_tools() -> None:
    plain, with_torch = locked_for(), locked_for("torch")
    assert {"numpy", "numba", "llvmlite", "river", "scipy", "kafka-python", "crc32c", "pyyaml", "rich"} <= plain
    assert not plain & {"torch", "pytest", "ruff", "mypy", "setuptools", "hypothesis"}
    assert {"torch", "sympy", "mpmath", "nvidia-cublas"} <= with_torch and plain < with_torch
    assert "pytest" not in with_torch
    assert locked_for("=setuptools") == {"setuptools"}
    with pytest.raises(SystemExit, match="cuda"):
        locked_for("cuda")


def test_what_the_image_gets_is_locked_by_hashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert locked.main([str(ROOT / "requirements.lock"), str(ROOT / "pyproject.toml")]) == 0
    printed = capsys.readouterr().out
    entries = re.split(r"^(?=\w)", re.sub(r"^#.*\n", "", printed, flags=re.M), flags=re.M)[1:]
    assert len(entries) > 10 and all("==" in entry and "--hash=sha256:" in entry for entry in entries)
    lock = (ROOT / "requirements.lock").read_text()
    assert all(line.rstrip(" \\") in lock for entry in entries for line in entry.splitlines())
    assert not printed.rstrip().endswith("\\") and "\\\n#" not in printed


# The configs


def test_the_composed_config_is_right(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = load(str(COMPOSE / "tocsin.yml"))
    assert config.http.listen == f"0.0.0.0:{PORT}"
    assert config.sinks.alertmanager.urls == ("http://alertmanager:9093",)
    mounted = dict(volume.split(":")[1::-1] for volume in services()["tocsin"]["volumes"])
    assert config.graph in mounted and (COMPOSE / mounted[config.graph]).is_file()
    # check-config reads the graph, whose place differs here.
    copy = tmp_path / "tocsin.yml"
    text = (COMPOSE / "tocsin.yml").read_text()
    copy.write_text(text.replace(config.graph, str(COMPOSE / mounted[config.graph])))
    assert main(["check-config", str(copy)]) == 0


@pytest.mark.usefixtures("pod")
def test_the_pods_config_is_right() -> None:
    path = KUBERNETES / "tocsin.yml"
    assert main(["check-config", str(path)]) == 0
    config = load(str(path))
    assert config.http.listen == f"0.0.0.0:{PORT}"
    assert config.kafka.consumer.instance_id == "tocsin-0"
    assert (config.kafka.security_protocol, config.kafka.sasl.password) == ("SASL_SSL", "secret")
    assert config.keeps_state_in_kafka  # there is no volume that would keep it


def test_the_pods_environment_is_what_its_config_asks_for() -> None:
    asked = set(re.findall(r"\$\{(\w+)\}", (KUBERNETES / "tocsin.yml").read_text()))
    assert asked == {variable["name"] for variable in container()["env"]}
    [name] = [variable for variable in container()["env"] if variable["name"] == "POD_NAME"]
    assert name["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_a_stop_leaves_time_to_drain_and_save() -> None:
    grace = kubernetes("StatefulSet")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= RunnerSettings().drain + RunnerSettings().hand_over + 5
    assert services()["tocsin"]["stop_grace_period"] == f"{grace}s"


# Compose


def test_composed_services_are_bounded_and_wait_for_what_is_there() -> None:
    for name, service in services().items():
        assert service["mem_limit"] and service["cap_drop"] == ["ALL"], name
        assert service.get("read_only") or name == "kafka", name  # Kafka's image writes its config into itself
        for other, how in service.get("depends_on", {}).items():
            target = services()[other]
            if how["condition"] == "service_healthy":
                # tocsin's is the image's.
                assert target.get("healthcheck", {}).get("test") or target["image"].startswith("tocsin:"), other
            else:
                assert how["condition"] == "service_completed_successfully" and target["restart"] == "on-failure"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} is open to the network at {port}"


def test_the_composed_broker_is_told_what_the_tests_broker_is_told() -> None:
    environment = services()["kafka"]["environment"]
    keys = {name.removeprefix("KAFKA_").lower().replace("_", ".") for name in environment} - {"heap.opts"}
    run_for_real = {line.partition("=")[0] for line in broker.PROPERTIES.splitlines() if "=" in line}
    assert keys <= run_for_real and environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert environment["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://kafka:9092"


def test_composed_volumes_secrets_and_stages_exist() -> None:
    composed = document(COMPOSE / "compose.yml")
    stages = {rest.split(" AS ")[-1] for name, rest in instructions() if name == "FROM"}
    used = set()
    for name, service in composed["services"].items():
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            if source.startswith("."):
                assert (COMPOSE / source).is_file() and mode == ["ro"], f"{name}: {volume}"
            else:
                used.add(source)
            assert target.startswith("/")
        assert set(service.get("secrets", [])) <= set(composed["secrets"])
        if "build" in service:
            assert (COMPOSE / service["build"]["context"]).resolve() == ROOT
            assert (ROOT / service["build"]["dockerfile"]) == IMAGE and service["build"]["target"] in stages
    assert used == set(composed["volumes"])
    assert all((COMPOSE / secret["file"]).is_file() for secret in composed["secrets"].values())


def test_one_writable_folder_of_tocsin_has_one_owner() -> None:
    assert any(name == "ENV" and "NUMBA_CACHE_DIR=/var/cache/tocsin" in rest for name, rest in instructions())
    for name in ("topics", "tocsin", "producer"):
        [mount] = services()[name]["tmpfs"]
        assert mount.startswith(f"/var/cache/tocsin:uid={USER},gid={USER},")
    mounts = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"] if not mount.get("readOnly")}
    assert mounts == {"kernels": "/var/cache/tocsin"}


def test_addresses_in_the_composed_configs_are_its_services() -> None:
    known = {f"{name}:{port}" for name, port in PORTS.items()}
    files = ("tocsin.yml", "prometheus.yml", "grafana/datasources.yml", "compose.yml")
    named = {
        address
        for file in files
        for address in re.findall(rf"\b((?:{'|'.join(services())}):\d{{4,5}})\b", (COMPOSE / file).read_text())
    }
    assert {"kafka:9092", "tocsin:9464", "alertmanager:9093", "prometheus:9090"} <= named <= known


PORTS = {"kafka": 9092, "tocsin": PORT, "prometheus": 9090, "alertmanager": 9093, "grafana": 3000}


def test_grafana_is_given_the_dashboard_where_it_looks_for_it() -> None:
    [provider] = document(COMPOSE / "grafana" / "dashboards.yml")["providers"]
    mounts = dict(volume.split(":")[1::-1] for volume in services()["grafana"]["volumes"])
    [dashboard] = [target for target, source in mounts.items() if source.endswith("grafana/tocsin.json")]
    assert str(Path(dashboard).parent) == provider["options"]["path"]
    assert services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == dashboard


@pytest.mark.alerting
def test_prometheus_and_alertmanager_accept_what_compose_gives_them(tmp_path: Path) -> None:
    for source in (
        COMPOSE / "prometheus.yml",
        COMPOSE / "alertmanager.yml",
        DEPLOY / "prometheus" / "tocsin.rules.yml",
    ):
        shutil.copy(source, tmp_path)
    for words in (["promtool", "check", "config", "prometheus.yml"], ["amtool", "check-config", "alertmanager.yml"]):
        done = alert_servers.command(*words, folder=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


# Kubernetes


def test_everything_selects_the_pods() -> None:
    stateful = kubernetes("StatefulSet")["spec"]
    labels = stateful["template"]["metadata"]["labels"]
    assert stateful["selector"]["matchLabels"] == labels
    assert kubernetes("Service")["spec"]["selector"] == labels
    assert kubernetes("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    monitor, service = kubernetes("ServiceMonitor")["spec"], kubernetes("Service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert stateful["serviceName"] == service["metadata"]["name"] and service["spec"]["clusterIP"] == "None"
    assert service["metadata"]["name"] == "tocsin"  # the job that the alert rules look for


def test_probes_service_and_monitor_meet_at_the_http_port() -> None:
    [port] = container()["ports"]
    assert port == {"name": "http", "containerPort": PORT}
    probes = {name: container()[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": "/-/healthy",
        "liveness": "/-/healthy",
        "readiness": "/-/ready",
    }
    assert {probe["port"] for probe in probes.values()} == {"http"}
    [exposed] = kubernetes("Service")["spec"]["ports"]
    assert (exposed["targetPort"], exposed["port"]) == ("http", PORT)
    [endpoint] = kubernetes("ServiceMonitor")["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == (exposed["name"], "/metrics")


def test_the_pod_may_do_nothing_but_run() -> None:
    pod = kubernetes("StatefulSet")["spec"]["template"]["spec"]
    security = pod["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"], security["fsGroup"]) == (True, USER, USER)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container()["resources"]["limits"]["memory"] and container()["resources"]["requests"]["cpu"]


def test_mounts_name_volumes_and_volumes_what_is_made() -> None:
    pod = kubernetes("StatefulSet")["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container()["volumeMounts"]} == set(volumes)
    generated = document(KUBERNETES / "kustomization.yaml")["configMapGenerator"]
    assert volumes["config"]["configMap"]["name"] in {each["name"] for each in generated}
    paths = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    [secrets] = [variable["value"] for variable in container()["env"] if variable["name"] == "SECRETS"]
    assert paths["secrets"] == secrets
    [key_file, ca_file] = re.findall(r"\$\{SECRETS\}/(\S+)", (KUBERNETES / "tocsin.yml").read_text())
    assert {item["path"] for item in volumes["secrets"]["secret"]["items"]} == {key_file, ca_file}


def test_the_kustomization_holds_every_object() -> None:
    kustomization = document(KUBERNETES / "kustomization.yaml")
    objects = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == objects
    files = [file for each in kustomization["configMapGenerator"] for file in each["files"]]
    assert all((KUBERNETES / file).is_file() for file in files)
    assert {image["name"] for image in kustomization["images"]} == {container()["image"]}


def test_the_prometheus_rule_holds_the_rules() -> None:
    rules = (DEPLOY / "prometheus" / "tocsin.rules.yml").read_text()
    assert (KUBERNETES / "prometheus-rule.yaml").read_text() == prometheus_rule.rule(rules), (
        "run python deploy/kubernetes/prometheus_rule.py"
    )
    assert kubernetes("PrometheusRule")["spec"] == yaml.safe_load(rules)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl, which holds kustomize")
def test_kustomize_builds_the_objects() -> None:
    words = ["kubectl", "kustomize", str(KUBERNETES)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    objects = {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}
    pod = objects["StatefulSet"]["spec"]["template"]["spec"]
    [config] = [volume["configMap"]["name"] for volume in pod["volumes"] if volume["name"] == "config"]
    assert objects["ConfigMap"]["metadata"]["name"] == config and config.startswith("tocsin-config-")
    assert objects["ConfigMap"]["data"]["tocsin.yml"] == (KUBERNETES / "tocsin.yml").read_text()
    assert len(objects) == len(document(KUBERNETES / "kustomization.yaml")["resources"]) + 1
