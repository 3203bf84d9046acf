"""`tocsin dlq list|replay`: the rejected input that is kept, and the way back into the stream."""

import argparse
import dataclasses
import json
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Any

from stream.config import Config, load
from stream.dead_letters import FileLetters, Letter, Letters, each_once
from stream.decode import REASONS
from stream.errors import ConfigError

Counts = Counter[tuple[str, str]]  # of (topic, reason)


def show(arguments: argparse.Namespace) -> int:
    """Raises ConfigError, InputError, DependencyError."""
    reasons, counts, replayed = _reasons(arguments), Counts(), Counts()
    newest: deque[tuple[Letter, bool]] = deque(maxlen=arguments.limit)
    for keeper in _keepers(load(arguments.config), arguments.file):
        done = keeper.replayed()
        for letter in each_once(keeper.letters()):
            if not reasons or letter.reason in reasons:
                counts[letter.topic, letter.reason] += 1
                replayed[letter.topic, letter.reason] += letter.id in done
                newest.append((letter, letter.id in done))
    _print_json(counts, replayed, newest) if arguments.output == "json" else _print_text(counts, replayed, newest)
    return 0


def replay(arguments: argparse.Namespace) -> int:
    """Exit code 1 if the cluster refuses a letter for good. Raises ConfigError, InputError, DependencyError."""
    from stream.replay_letters import Fate, KafkaPostman, replay  # noqa: PLC0415  they load the client

    config, reasons = load(arguments.config), _reasons(arguments)
    topics, left = config.kafka.consumer.topics, arguments.limit
    fates: Counter[Fate] = Counter()
    postman = None if arguments.dry_run else KafkaPostman(config.kafka, topics)
    try:
        for keeper in _keepers(config, arguments.file):
            fates += replay(keeper, postman, topics=topics, reasons=reasons, limit=left)
            left = None if left is None else arguments.limit - fates["sent"] - fates["refused"]
    finally:
        if postman:
            postman.close()
    _tell(fates, arguments)
    return 1 if fates["refused"] else 0


def _keepers(config: Config, file: str | None) -> Iterable[Letters]:
    """Where the letters are: in a file that was named, else where the config keeps them."""
    if file is not None or config.sinks.dead_letters == "jsonlines":
        return [FileLetters(config.sinks.rejects_path if file is None else file)]
    if config.sinks.dead_letters != "kafka":
        raise ConfigError(f"no dead letters are kept: sinks.dead_letters is {config.sinks.dead_letters}; name a FILE")
    from stream.dead_letter_topics import TopicLetters  # noqa: PLC0415  it loads the client
    from stream.topics import dead_letter_topics  # noqa: PLC0415

    return [TopicLetters(config.kafka, topic) for topic in dict.fromkeys(dead_letter_topics(config.kafka).values())]


def _reasons(arguments: argparse.Namespace) -> Sequence[str]:
    if arguments.limit is not None and arguments.limit < 1:
        raise ConfigError(f"--limit must be at least 1, got {arguments.limit}")
    for reason in arguments.reason or ():
        if reason not in REASONS:
            raise ConfigError(f"--reason must be one of {', '.join(REASONS)}, got {reason}")
    return arguments.reason or ()


def _print_json(counts: Counts, replayed: Counts, newest: Iterable[tuple[Letter, bool]]) -> None:
    told = [
        {"topic": topic, "reason": reason, "count": count, "replayed": replayed[topic, reason]}
        for (topic, reason), count in counts.most_common()
    ]
    print(json.dumps({"counts": told, "letters": [_document(*letter) for letter in newest]}, indent=2))


def _document(letter: Letter, is_replayed: bool) -> dict[str, Any]:
    document = dataclasses.asdict(letter)
    del document["value"]
    key = None if letter.key is None else letter.key.decode("utf-8", "backslashreplace")
    more = {"key": key, "bytes": len(letter.value), "first_bytes": letter.first_bytes}
    return {"id": letter.id, **document, **more, "replayed": is_replayed}


def _print_text(counts: Counts, replayed: Counts, newest: Sequence[tuple[Letter, bool]]) -> None:
    for (topic, reason), count in counts.most_common():
        again = f" ({replayed[topic, reason]:,} replayed)" if replayed[topic, reason] else ""
        print(printable(f"{count:>8,}  {topic or '(no topic)'}  {reason}{again}"))
    print(f"{counts.total():>8,}  in all" + (f"; the newest {len(newest):,}:" if newest else ""))
    for letter, is_replayed in newest:
        place = f"{letter.topic}-{letter.partition}@{letter.offset}"
        print()
        print(printable(f"{place}  {letter.reason}{'  replayed' if is_replayed else ''}"))
        print(printable(f"    {letter.detail}"))
        print(printable(f"    {letter.first_bytes}  ({len(letter.value):,} bytes)"))


def printable(text: str) -> str:
    r"""What a letter says, without what would steer a terminal.

    >>> printable("caf\u00e9 \x1b[2J")
    'café \\x1b[2J'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _tell(fates: Counter[Any], arguments: argparse.Namespace) -> None:
    if arguments.output == "json":
        names = ("sent", "before", "elsewhere", "refused")
        print(json.dumps({"dry_run": arguments.dry_run, **{name: fates[name] for name in names}}))
        return
    texts = {
        "before": "{:,} replayed before",
        "elsewhere": "{:,} of no topic of this config",
        "refused": "{:,} refused by the cluster",
    }
    sent = f"{fates['sent']:,} {'would be sent' if arguments.dry_run else 'sent'}"
    print("; ".join([sent, *(text.format(fates[name]) for name, text in texts.items() if fates[name])]))
