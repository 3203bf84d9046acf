"""Every option of tocsin outside the mathematics, with its default: what a config file may say.

The options of the mathematics are in :mod:`detectors.settings`; :mod:`stream.config` reads a file into all of them.
Durations are seconds and sizes bytes here; a config writes `30s` and `64MiB`.
"""

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from stream.addresses import url_fault
from stream.canary_rows import RARE
from stream.maintenance import MaintenanceWindow

Seconds: TypeAlias = Annotated[float, "duration"]  # 250ms, 30s, 5m, 1h, 7d
Bytes: TypeAlias = Annotated[int, "size"]  # 512, 64KiB, 8MiB, 1GB
Secret: TypeAlias = Annotated[str, "secret"]  # also as NAME_file: the path of a file that holds it

# What SIGHUP changes in a running process: these options, and all below them. Everything else needs a restart.
RELOADABLE = (
    "http.web_config_file",
    "incidents",
    "log",
    "monitor.line",
    "sinks.alertmanager",
    "sinks.webhook",
    "snapshot.every",
    "snapshot.share",
)
OUR_LABELS = ("alertname", "system", "entity", "severity")  # that identify an alert


@dataclass(frozen=True, slots=True)
class FileSettings:
    """A file or standard input. path "-" is standard input."""

    path: str = "-"
    format: Literal["auto", "csv", "jsonl"] = "auto"
    time_unit: Literal["auto", "s", "ms", "us", "ns", "iso"] = "auto"  # auto: by the size of the first number
    system: str = ""  # name of a CSV's system, and of messages that name none; empty: the file's name
    max_line: Bytes = 1 << 20


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where readings come from."""

    kind: str = "kafka"  # a name of stream.sources.registry
    file: FileSettings = field(default_factory=FileSettings)


@dataclass(frozen=True, slots=True)
class JsonLinesSettings:
    """Findings as JSON, one a line. path "-" is standard output."""

    path: str = "-"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """PEM files. Empty ca_file: the system's authorities."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    key_password: Secret = field(default="", repr=False)
    check_hostname: bool = True


@dataclass(frozen=True, slots=True)
class HttpTargetSettings:
    """How another process is spoken to over HTTP. tls is for https only."""

    timeout: Seconds = 5.0  # of each step of a request
    username: str = ""  # basic authentication
    password: Secret = field(default="", repr=False)
    bearer_token: Secret = field(default="", repr=False)
    tls: TlsSettings = field(default_factory=TlsSettings)

    def __post_init__(self) -> None:
        if self.bearer_token and self.username:
            raise ValueError("bearer_token and username exclude each other")
        if not (self.bearer_token.isascii() and self.bearer_token.isprintable()):
            raise ValueError("bearer_token must be a line of ASCII characters, got others")
        if self.timeout <= 0:
            raise ValueError(f"timeout must be longer than 0s, got {self.timeout}")


@dataclass(frozen=True, slots=True)
class AlertmanagerSettings:
    """Incidents that page, as alerts of Alertmanager's API v2. Each of the urls gets all of them.

    labels: added to every alert's.  generator_url: the way back to the incident; {id} and {system} stand for its own.
    """

    urls: tuple[str, ...] = ("http://localhost:9093",)
    resend: Seconds = 60.0  # while it fires; an alert that is not sent again ends after four times this
    labels: dict[str, str] = field(default_factory=dict)
    generator_url: str = ""
    runbook_url: str = ""
    http: HttpTargetSettings = field(default_factory=HttpTargetSettings)

    def __post_init__(self) -> None:
        if not self.urls:
            raise ValueError("urls must name at least one Alertmanager, got none")
        for fault in filter(None, map(url_fault, self.urls)):
            raise ValueError(f"urls {fault}")
        at_least("resend", self.resend, 1)
        for name in self.labels:
            if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) or name in OUR_LABELS:
                raise ValueError(
                    f"labels must be names such as cluster, other than {', '.join(OUR_LABELS)}, got {name}"
                )


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Incidents that page, as JSON documents by POST. secret: of the signature; empty: none is made."""

    url: Secret = field(default="", repr=False)  # many hold a token
    secret: Secret = field(default="", repr=False)
    http: HttpTargetSettings = field(default_factory=HttpTargetSettings)

    def __post_init__(self) -> None:
        if self.url and (fault := url_fault(self.url)):
            raise ValueError(f"url {fault}")


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """Where findings go, and rejected input."""

    kinds: tuple[str, ...] = ("kafka",)  # names of stream.sinks.registry
    dead_letters: str = "kafka"  # a name of the same registry that keeps rejects, too; "none" counts them only
    jsonlines: JsonLinesSettings = field(default_factory=JsonLinesSettings)
    alertmanager: AlertmanagerSettings = field(default_factory=AlertmanagerSettings)
    webhook: WebhookSettings = field(default_factory=WebhookSettings)
    rejects_path: str = "rejects.jsonl"  # of dead_letters: jsonlines

    def __post_init__(self) -> None:
        if "webhook" in self.kinds and not self.webhook.url:
            raise ValueError("kinds must not hold webhook without a webhook.url")


@dataclass(frozen=True, slots=True)
class OAuthSettings:
    """Where mechanism OAUTHBEARER gets its tokens, by client credentials: see :mod:`stream.oauth`."""

    token_url: str = ""
    client_id: str = ""
    client_secret: Secret = field(default="", repr=False)
    scope: str = ""  # empty: whatever the client is given
    timeout: Seconds = 4.0  # of each step of a request; heartbeats may have to wait for it
    tls: TlsSettings = field(default_factory=TlsSettings)  # of the token endpoint

    def __post_init__(self) -> None:
        if self.token_url and (fault := url_fault(self.token_url)):
            raise ValueError(f"token_url {fault}")
        if self.timeout <= 0:
            raise ValueError(f"timeout must be longer than 0s, got {self.timeout}")


@dataclass(frozen=True, slots=True)
class SaslSettings:
    """username and password are for all mechanisms but OAUTHBEARER."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "SCRAM-SHA-512"
    username: str = ""
    password: Secret = field(default="", repr=False)
    oauth: OAuthSettings = field(default_factory=OAuthSettings)


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """The consumer group. One system's messages need one key, so that they stay in order on one partition."""

    topics: tuple[str, ...] = ("telemetry.metrics.v1",)
    group: str = "tocsin"
    instance_id: str = "auto"  # static membership; auto: the host's name, empty: none
    start: Literal["earliest", "latest"] = "earliest"  # of a partition without a snapshot and a commit
    on_missing_offset: Literal["earliest", "latest", "fail"] = "earliest"  # its offset is gone (retention, a new topic)
    session_timeout: Seconds = 10.0
    heartbeat_interval: Seconds = 1.0
    max_poll_interval: Seconds = 300.0
    max_poll_records: int = 1000
    max_partition_fetch: Bytes = 8 << 20
    max_message: Bytes = 1 << 20


@dataclass(frozen=True, slots=True)
class ProducerSettings:
    """Where findings are sent. Empty dead_letters: <group>.<topic>.dlq of each topic."""

    verdicts: str = "anomaly.verdicts.v1"  # verdicts, triggers and silences, key = system
    incidents: str = "anomaly.incidents.v1"  # compacted, key = incident id
    dead_letters: str = ""
    compression: Literal["none", "gzip", "lz4"] = "lz4"
    linger: Seconds = 0.01
    max_request: Bytes = 1 << 20
    max_unacknowledged: Bytes = 32 << 20
    acknowledge_timeout: Seconds = 30.0  # then the sink counts as away and is tried again


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """The cluster, shared by the source and the sink."""

    bootstrap_servers: tuple[str, ...] = ("localhost:9092",)
    client_id: str = "tocsin"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    connect_timeout: Seconds = 8.0
    request_timeout: Seconds = 30.0
    tls: TlsSettings = field(default_factory=TlsSettings)
    sasl: SaslSettings = field(default_factory=SaslSettings)
    consumer: ConsumerSettings = field(default_factory=ConsumerSettings)
    producer: ProducerSettings = field(default_factory=ProducerSettings)


@dataclass(frozen=True, slots=True)
class AlignSettings:
    """How readings become rows.

    A reading that comes after its row was handed out is rejected, unless revise_within says otherwise: then the row, if
    it lacks the reading, is at most so much older than the newest one and among the last revise_rows, is scored again
    with it, and a verdict that stands no more, or stands now, or has another score is told as revised. It is learned
    once all the same. See :mod:`stream.revisions`, also for the memory it takes.
    """

    max_ahead: Seconds = 300.0  # run only: readings further ahead of their arrival, or our clock, are rejected
    max_behind: Seconds = 300.0  # what is older than the newest row, or its arrival, by more has a wrong clock
    discovery_ticks: int = 3  # long messages: after so many ticks a system's variables are fixed
    revise_within: Seconds = 0.0  # 0: late readings are rejected
    revise_rows: int = 64

    def __post_init__(self) -> None:
        at_least("revise_within", self.revise_within, 0)
        at_least("revise_rows", self.revise_rows, 1)
        at_least("discovery_ticks", self.discovery_ticks, 1)


@dataclass(frozen=True, slots=True)
class IncidentSettings:
    """What a person sees, and which of it pages: see :mod:`stream.paging`."""

    opened_by: tuple[Literal["verdict", "trigger"], ...] = ("verdict", "trigger")
    quiet_rows: int = 10  # rows without verdict and trigger until it is resolved
    trigger_quiet_rows: int = 5  # the same for one without a verdict: its next trigger is another change
    max_gap_ticks: int = 120  # a silence of so many of the system's ticks resolves it
    critical_score: float = 2.0  # severity is critical from here, warning below; info with no row over the line
    max_causes: int = 10  # entities
    max_edges: int = 50  # of the causal graph, strongest first
    cooldown: Seconds = 0.0  # what opens again so soon after it was resolved is the same incident
    page_from: Literal["info", "warning", "critical"] = "warning"  # the least severity that pages
    page_after: Seconds = 0.0  # from an incident's opening to the first verdict or trigger that makes it page
    pages_per_day: float = 0.0  # most of each system; further incidents are info until one is free. 0: no budget
    maintenance: tuple[MaintenanceWindow, ...] = ()  # incidents inside are recorded as suppressed and do not page

    def __post_init__(self) -> None:
        for name in ("quiet_rows", "trigger_quiet_rows", "max_gap_ticks", "max_causes"):
            at_least(name, getattr(self, name), 1)
        at_least("pages_per_day", self.pages_per_day, 0)


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """A system of our own with a known anomaly, sent into the input topic and awaited behind the sinks (stream.canary).

    system: begins its name, which goes on with the group and the partition. Systems whose name begins so never page
    and are left out of the metrics of what is watched, whether a canary is enabled here or in another group.
    """

    enabled: bool = False  # with a Kafka source only
    system: str = "tocsin-canary"
    every: Seconds = 5.0  # between its rows
    anomaly_every: Seconds = 1800.0  # between its anomalies
    deadline: Seconds = 120.0  # after that an anomaly whose verdict has not left counts as missed

    def __post_init__(self) -> None:
        if not self.system or "/" in self.system:
            raise ValueError(f"system must be a name without /, got {self.system!r}")
        at_least("every", self.every, 0.01)
        at_least("deadline", self.deadline, 1)
        if self.anomaly_every < RARE * self.every:
            raise ValueError(
                f"anomaly_every must be at least {RARE} times every={self.every:g}s, or what is anomalous becomes "
                f"normal, got {self.anomaly_every:g}s"
            )


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """State and input positions, so that a restart, or the next owner of a partition, goes on where it stopped.

    store kafka keeps them in a compacted topic, from which a partition's next owner restores them on any host; auto is
    kafka with a Kafka source, else directory.

    A system without a row while its partition's newest one went on by evict_after leaves memory at the next snapshot
    and comes back from it with its next reading; so do the least recently used beyond max_systems_in_memory. Between
    two snapshots there may be a quarter more; then one is made at once. 0: none leaves for that reason.
    """

    store: Literal["auto", "directory", "kafka"] = "auto"
    directory: str = "tocsin-state"  # of store: directory; empty: none are kept
    keep: int = 3  # of each partition on a directory
    topic: str = ""  # of store: kafka; empty: <group>-state
    every: Seconds = 30.0
    share: float = 0.05  # of the time, at most: where saving takes longer, it is done less often
    other_config: Literal["fresh", "refuse"] = "fresh"  # what to do with state that another one made
    other_partitions: Literal["refuse", "fresh"] = "refuse"  # and of another number of partitions (store: kafka)
    evict_after: Seconds = 3600.0  # by event time
    max_systems_in_memory: int = 0

    def __post_init__(self) -> None:
        at_least("keep", self.keep, 1)
        at_least("max_systems_in_memory", self.max_systems_in_memory, 0)
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {self.share}")


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """/metrics, /-/healthy and /-/ready. Empty listen: off. web_config_file: see :mod:`stream.web_config`."""

    listen: str = "127.0.0.1:9464"
    web_config_file: str = ""  # TLS and passwords; empty: neither


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """The loop of `tocsin run`."""

    read_timeout: Seconds = 0.2
    retry_first: Seconds = 1.0  # pause before the second try of what failed; doubled each time
    retry_most: Seconds = 30.0
    drain: Seconds = 10.0  # after SIGTERM, until what is left is given up
    hand_over: Seconds = 5.0  # for saving partitions that go to another process, which else reads from the last save


@dataclass(frozen=True, slots=True)
class LogSettings:
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["logfmt", "json"] = "logfmt"


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole configuration but for the mathematics, which :class:`stream.config.Config` adds.

    seed: of whatever draws.  graph: a CSV `cause,effect` of the user's; empty: none.
    """

    schema_version: int = 1
    seed: int = 0
    graph: str = ""
    source: SourceSettings = field(default_factory=SourceSettings)
    sinks: SinkSettings = field(default_factory=SinkSettings)
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    align: AlignSettings = field(default_factory=AlignSettings)
    incidents: IncidentSettings = field(default_factory=IncidentSettings)
    canary: CanarySettings = field(default_factory=CanarySettings)
    snapshot: SnapshotSettings = field(default_factory=SnapshotSettings)
    runner: RunnerSettings = field(default_factory=RunnerSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    log: LogSettings = field(default_factory=LogSettings)

    @property
    def keeps_state_in_kafka(self) -> bool:
        store = self.snapshot.store
        return store == "kafka" or (store == "auto" and self.source.kind == "kafka")


def at_least(name: str, value: float, least: float) -> None:
    """Raise ValueError, to be shown at the option's line, if the value is too small."""
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
