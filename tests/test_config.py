"""A config is read strictly, told from exactly, and written back as it was."""

import dataclasses
import re
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import pytest
import yaml

from stream.config import Config, config_hash, load, schema, show
from stream.errors import ConfigError

EXAMPLE = Path(__file__).parent.parent / "deploy" / "config" / "example.yml"


def load_text(folder: Path, text: str, **environment: str) -> Config:
    path = folder / "tocsin.yml"
    path.write_text(text)
    return load(str(path), environment)


def refusal(folder: Path, text: str, **environment: str) -> str:
    """What is told, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load_text(folder, text, **environment)
    return str(caught.value).replace(f"{folder}/", "")


def test_an_empty_file_is_the_defaults(tmp_path):
    assert load_text(tmp_path, "") == load_text(tmp_path, "# nothing\n") == load(None) == Config()


def test_what_is_shown_gives_the_same_back(tmp_path):
    config = load_text(tmp_path, "seed: 3\nsnapshot: {every: 90s, keep: 7}\nkafka: {producer: {max_request: 3MiB}}")
    assert load_text(tmp_path, show(config)) == config


def test_the_example_says_every_option_with_its_default():
    assert load(str(EXAMPLE)) == Config()
    said = yaml.safe_load(EXAMPLE.read_text())
    assert paths(said) == paths(yaml.safe_load(show(Config())))


def test_every_option_of_the_example_is_explained():
    lines = EXAMPLE.read_text().splitlines()
    bare = [line for line in lines if re.match(r"\s*[\w]+: \S", line) and "#" not in line]
    assert bare == []


def paths(document: object, path: str = "") -> set[str]:
    if not isinstance(document, dict):
        return {path}
    return set().union(*(paths(value, f"{path}.{name}") for name, value in document.items()))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("snapsot: {}", "tocsin.yml:1: unknown option snapsot; did you mean snapshot?"),
        ("seed: 1\nsnapshot:\n  evry: 3s", "tocsin.yml:3: unknown option snapshot.evry; did you mean every?"),
        ("monitor:\n  warmup: 3", "tocsin.yml:2: unknown option monitor.warmup; did you mean warmup_rows?"),
        ("monitor:\n  warmup_rows: 0", "tocsin.yml:2: monitor.warmup_rows must be at least 1, got 0"),
        ("monitor:\n  preset: rolo", "tocsin.yml:2: monitor.preset must be one of "),
        (
            "snapshot:\n  every: 3",
            "tocsin.yml:2: snapshot.every must be a duration such as 250ms, 30s, 5m, 1h, got",
        ),
        ("source:\n  file:\n    max_line: 3 apples", "tocsin.yml:3: source.file.max_line must be a size such as"),
        ("snapshot:\n  keep: many", "tocsin.yml:2: snapshot.keep must be a whole number, got 'many'"),
        ("snapshot:\n  keep: 0", "tocsin.yml:2: snapshot.keep must be at least 1, got 0"),
        ("snapshot:\n  keep:", "tocsin.yml:2: snapshot.keep must be a whole number"),
        ("log: {level: loud}", "tocsin.yml:1: log.level must be one of debug, info, warning, error, got 'loud'"),
        ("snapshot: 5", "tocsin.yml:1: snapshot must be a mapping of options"),
        ("kafka:\n  bootstrap_servers: a:1", "tocsin.yml:2: kafka.bootstrap_servers must be a list, such as [a, b]"),
        ("seed: 1\nseed: 2", "tocsin.yml:2: seed was given before, at tocsin.yml:1"),
        ("[1, 2]", "tocsin.yml:1: a config must be a mapping of sections"),
        ("just text", "tocsin.yml:1: a config must be a mapping of sections"),
        ("? [a]\n: 1", "tocsin.yml:1: a key must be plain text"),
        ("a: [", "tocsin.yml:1: not valid YAML: "),
        ("seed: 1\n\tx: 2", "tocsin.yml:2: not valid YAML: "),
        ("seed: 1\n---\nseed: 2", "tocsin.yml:2: not valid YAML: "),
        ("seed: \x00", "tocsin.yml: not valid YAML: "),
        ("seed: !!python/object:os.system {}", "tocsin.yml:1: seed must be a whole number"),
        ("schema_version: 2", "tocsin.yml: schema_version must be 1, got 2"),
        (
            "http: {listen: '${PORT}'}",
            "tocsin.yml:1: the environment has no variable PORT; ${PORT:-default} gives",
        ),
        ("kafka: {connect_timeout: .nan}", "tocsin.yml:1: kafka.connect_timeout must be a duration"),
        (
            "incidents:\n  maintenance:\n    - {daily: 1-2}",
            "tocsin.yml:3: incidents.maintenance[0].daily must be two different times such as 02:00-03:30, got '1-2'",
        ),
        ("incidents:\n  maintenance: [5]", "tocsin.yml:2: incidents.maintenance[0] must be a mapping of options"),
        (
            "incidents:\n  maintenance:\n    - {daly: 02:00-03:00}",
            "tocsin.yml:3: unknown option incidents.maintenance[0].daly; did you mean daily?",
        ),
        ("sinks:\n  kinds: [webhook]", "tocsin.yml:2: sinks.kinds must not hold webhook without a webhook.url"),
        (
            "monitor:\n  also: [lodo]",
            "tocsin.yml:2: monitor.also must be names of detectors, got 'lodo'; did you mean loda?",
        ),
        (
            "monitor: {detectors: {river: [{vote: true}]}}",
            "tocsin.yml:1: monitor.detectors.river[0] must have class",
        ),
        (
            "monitor:\n  detectors:\n    river:\n      - class: river.anomaly.LODAA",
            "tocsin.yml:4: monitor.detectors.river[0].class must be one of river.anomaly's, got 'river.anomaly.LODAA'",
        ),
        (
            "monitor: {detectors: {river: [{clas: x}]}}",
            "tocsin.yml:1: unknown option monitor.detectors.river[0].clas; did you mean class?",
        ),
        (
            "monitor: {detectors: {river: [{class: river.anomaly.LODA, parameters: {n_bins: .nan}}]}}",
            "tocsin.yml:1: monitor.detectors.river[0].parameters.n_bins must be a number, true or false, or text, got",
        ),
        (
            "kafka: {tls: {check_hostname: yes}}",
            "tocsin.yml:1: kafka.tls.check_hostname must be true or false, got",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_would_be_right(tmp_path, text, told):
    assert refusal(tmp_path, text).startswith(told)


def test_a_river_detector_keeps_its_parameters_as_they_were_written(tmp_path):
    engine = "{class: river.neighbors.LazySearch, parameters: {window_size: '${ROWS}', min_distance_keep: 0.5}}"
    text = (
        "monitor: {detectors: {river: [{class: river.anomaly.LocalOutlierFactor, parameters: {engine: ENGINE}},"
        "{class: river.anomaly.LODA, parameters: {n_bins: 7, seed: null}, vote: true, name: mine}]}}"
    )
    config = load_text(tmp_path, text.replace("ENGINE", engine.replace("'${ROWS}'", "30")))
    factor, loda = config.monitor.detectors.river
    assert factor.parameters["engine"]["parameters"] == {"window_size": 30, "min_distance_keep": 0.5}
    assert (factor.name, factor.vote) == ("river.LocalOutlierFactor", False)
    assert (loda.parameters, loda.name, loda.vote) == ({"n_bins": 7, "seed": None}, "mine", True)
    assert load_text(tmp_path, show(config)) == config
    assert config_hash(config) != config_hash(load_text(tmp_path, text.replace("ENGINE", engine), ROWS="31"))


def test_the_readmes_config_is_right(tmp_path):
    blocks = re.findall(r"^```yaml\n(.*?)^```", (EXAMPLE.parents[2] / "README.md").read_text(), re.M | re.S)
    assert blocks
    (tmp_path / "secret").write_text("quiet")
    for block in blocks:
        text = re.sub(r"/run/secrets/[\w-]+", str(tmp_path / "secret"), block)
        assert load_text(tmp_path, text) != Config()


def test_a_section_given_in_part_keeps_the_rest_of_its_own_defaults(tmp_path):
    config = load_text(tmp_path, "monitor: {attribution: {autoregression: {weight: 0.5}}}")
    default = Config().monitor.attribution.autoregression
    assert config.monitor.attribution.autoregression == dataclasses.replace(default, weight=0.5)


def test_a_list_of_sections_is_read_shown_and_described(tmp_path):
    text = """
incidents:
  maintenance:
    - {daily: 02:00-03:30, zone: Europe/Berlin, systems: [shop]}
    - {start: 2026-12-24T22:00:00Z, end: 2026-12-25T06:00:00Z}
"""
    config = load_text(tmp_path, text)
    first, second = config.incidents.maintenance
    assert (first.daily, first.zone, first.systems) == ("02:00-03:30", "Europe/Berlin", ("shop",))
    assert (second.start, second.end, second.zone) == ("2026-12-24T22:00:00Z", "2026-12-25T06:00:00Z", "UTC")
    assert load_text(tmp_path, show(config)) == config
    described = schema()["properties"]["incidents"]["properties"]["maintenance"]
    assert described["items"]["properties"]["zone"] == {"type": "string", "default": "UTC"}
    assert config_hash(config) != config_hash(Config())


def test_the_environment_stands_in_and_dollars_can_be_said(tmp_path):
    text = "http: {listen: '${HOST:-0.0.0.0}:${PORT}'}\nseed: ${SEED}\ngraph: $${x}"
    config = load_text(tmp_path, text, PORT="9000", SEED="12")
    assert (config.http.listen, config.seed, config.graph) == ("0.0.0.0:9000", 12, "${x}")


def test_a_secret_may_stand_in_a_file_and_is_never_shown(tmp_path):
    (tmp_path / "password").write_text("hush\n")
    config = load_text(tmp_path, f"kafka: {{sasl: {{password_file: {tmp_path}/password}}}}")
    assert config.kafka.sasl.password == "hush"
    assert "hush" not in show(config)
    assert "hush" not in repr(config)
    told = refusal(tmp_path, f"kafka:\n  sasl:\n    password: a\n    password_file: {tmp_path}/password")
    assert told == "tocsin.yml:4: password and password_file exclude each other"
    told = refusal(tmp_path, "kafka: {sasl: {password_file: /nowhere}}")
    assert told == "tocsin.yml:1: kafka.sasl.password_file: cannot read /nowhere: No such file or directory"
    assert "hush" not in refusal(tmp_path, "kafka: {sasl: {password: [hush]}}")


def test_a_folder_is_one_config(tmp_path):
    (tmp_path / "a.yml").write_text("seed: 4\n")
    (tmp_path / "b.yaml").write_text("snapshot: {keep: 9}\n")
    (tmp_path / "notes.txt").write_text("{{{")
    config = load(str(tmp_path))
    assert (config.seed, config.snapshot.keep) == (4, 9)
    (tmp_path / "c.yml").write_text("\nseed: 5\n")
    with pytest.raises(ConfigError, match=r"c\.yml:2: seed was given before, at .*a\.yml:1"):
        load(str(tmp_path))


def test_a_config_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load(str(tmp_path / "x.yml"))
    with pytest.raises(ConfigError, match=r"has no \*\.yml"):
        load(str(tmp_path))
    (tmp_path / "x.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read config"):
        load(str(tmp_path / "x.yml"))


def test_the_hash_is_of_what_decides_the_findings(tmp_path):
    plain = config_hash(Config())
    assert config_hash(load_text(tmp_path, "http: {listen: ':1'}\nkafka: {client_id: x}")) == plain
    others = [
        config_hash(load_text(tmp_path, text))
        for text in (
            "seed: 1",
            "monitor: {warmup_rows: 51}",
            "incidents: {quiet_rows: 11}",
            "align: {discovery_ticks: 4}",
        )
    ]
    assert len({plain, *others, config_hash(Config(), [("a", "b")])}) == 6


def test_the_schema_knows_every_option():
    document = schema()

    def known(node: dict, kind: type) -> None:
        for name, hint in get_type_hints(kind, include_extras=True).items():
            assert name in node["properties"], name
            if dataclasses.is_dataclass(hint):
                known(node["properties"][name], hint)
            elif get_origin(hint) is tuple:
                assert node["properties"][name]["type"] == "array"
            else:
                assert "default" in node["properties"][name] or get_args(hint)

    known(document, Config)
    assert document["additionalProperties"] is False
    assert "password_file" in document["properties"]["kafka"]["properties"]["sasl"]["properties"]
