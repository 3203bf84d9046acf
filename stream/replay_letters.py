"""Dead letters back to where they came from: each once, with its own bytes and key, on its own partition.

A letter is sent, acknowledged, and then remembered as replayed. Whoever is killed between the two sends those letters
again at the next try: at most BATCH of them. One that is rejected again is a new letter, for it stands elsewhere now.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, Protocol, TypeAlias

from stream.dead_letters import Letter, Letters, each_once
from stream.kafka_outbox import Outbox, Outgoing
from stream.settings import KafkaSettings
from stream.state_reader import state_reader
from stream.topics import DEAD_LETTER_ROOM

BATCH = 500
HEADER = "tocsin_replayed"
# before: replayed already.  elsewhere: not of one of the topics.  refused: the cluster does not take it (too large).
Fate: TypeAlias = Literal["sent", "before", "elsewhere", "refused"]


class Postman(Protocol):
    """Sends letters to their topics."""

    def send(self, letters: Sequence[Letter]) -> list[Letter]:
        """Returns when all are acknowledged; gives those that were refused for good."""


def replay(
    keeper: Letters,
    postman: Postman | None,
    *,
    topics: Collection[str],
    reasons: Collection[str] = (),
    limit: int | None = None,
) -> Counter[Fate]:
    """Send what was not sent yet, the oldest first. postman None: only count what would be. reasons: none means all."""
    fates: Counter[Fate] = Counter()
    chosen = islice(_choose(keeper, topics, reasons, fates), limit)
    while batch := list(islice(chosen, BATCH)):
        refused = {letter.id for letter in postman.send(batch)} if postman else set()
        sent = [letter for letter in batch if letter.id not in refused]
        if postman and sent:
            keeper.remember(sent)
        fates["sent"] += len(sent)
        fates["refused"] += len(refused)
    return +fates


def _choose(
    keeper: Letters, topics: Collection[str], reasons: Collection[str], fates: Counter[Fate]
) -> Iterator[Letter]:
    replayed = keeper.replayed()
    for letter in each_once(keeper.letters()):
        if reasons and letter.reason not in reasons:
            continue
        if letter.id in replayed:
            fates["before"] += 1
        elif letter.topic not in topics:
            fates["elsewhere"] += 1
        else:
            yield letter


class KafkaPostman:
    """Raises DependencyError if a topic is not there or nobody answers.

    The partition is the original one, whose state knows the system, if the topic still has it; else the key decides.
    """

    def __init__(self, kafka: KafkaSettings, topics: Iterable[str]) -> None:
        wanted = set(topics)
        self._refused: set[str] = set()
        with state_reader(kafka) as reader:
            self._partitions = {topic: reader.partitions(topic) for topic in wanted}
        largest = kafka.consumer.max_message + DEAD_LETTER_ROOM
        self._outbox = Outbox(kafka, wanted, max_record=largest, on_refused=self._note)

    def send(self, letters: Sequence[Letter]) -> list[Letter]:
        self._refused.clear()
        for letter in letters:
            is_there = letter.partition < self._partitions[letter.topic]
            headers = [(HEADER, letter.id.encode())]
            where = letter.partition if is_there else None
            self._outbox.send(letter.topic, letter.key, letter.value, headers, partition=where)
        self._outbox.flush()
        return [letter for letter in letters if letter.id in self._refused]

    def close(self) -> None:
        self._outbox.close()

    def _note(self, record: Outgoing) -> None:
        self._refused.add(dict(record.headers)[HEADER].decode())
