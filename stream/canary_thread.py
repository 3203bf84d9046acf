"""The thread that produces the canary's rows into the input topic, with a connection of its own."""

import dataclasses
import logging
from collections.abc import Callable
from threading import Event, Thread
from typing import Protocol

import numpy as np

from stream.canary import Canary, CanaryRow
from stream.canary_rows import VARIABLES
from stream.decode import encode_row
from stream.errors import DependencyError, TocsinError
from stream.kafka_outbox import Outbox
from stream.settings import KafkaSettings

log = logging.getLogger(__name__)

PATIENCE_S = 5.0  # for an acknowledgement
CLOSE_S = 2.0  # for the thread, which may wait for one: the process ends without it


class Rows(Protocol):
    """Takes the canary's rows to the topic."""

    def put(self, row: CanaryRow) -> None:
        """Returns when it is there. Raises DependencyError; the row may then still arrive, before the next one."""

    def close(self) -> None: ...


class CanaryThread:
    """Produces until close(). make_rows is called in the thread, at the first row and after a failure to connect."""

    def __init__(self, canary: Canary, make_rows: Callable[[], Rows], *, every_s: float) -> None:
        self._canary = canary
        self._make_rows = make_rows
        self._every_s = every_s
        self._rows: Rows | None = None
        self._is_away = False
        self._ends = Event()
        self._thread = Thread(target=self._run, name="canary", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ends.set()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._ends.wait(self._every_s / 4):  # a row is up to a quarter late
            made = self._canary.next_row()
            if made is not None:
                self._produce(made)
        if self._rows is not None:
            self._rows.close()

    def _produce(self, made: CanaryRow) -> None:
        try:
            self._rows = self._rows or self._make_rows()
            self._rows.put(made)
        except TocsinError as error:
            if not self._is_away:
                log.warning("canary not produced", extra={"error": str(error)})
            self._is_away = True
            return
        self._is_away = False


class KafkaRows:
    """Rows into the input topics. Raises DependencyError if the cluster does not answer."""

    def __init__(self, kafka: KafkaSettings) -> None:
        patience = min(kafka.producer.acknowledge_timeout, PATIENCE_S)
        brief = dataclasses.replace(kafka, producer=dataclasses.replace(kafka.producer, acknowledge_timeout=patience))
        self._outbox = Outbox(brief, kafka.consumer.topics, max_record=kafka.producer.max_request)

    def put(self, row: CanaryRow) -> None:
        topic, _, number = row.partition.rpartition("-")
        value = encode_row(row.system, row.time, VARIABLES, np.array(row.values))
        try:
            self._outbox.send(topic, row.system.encode(), value, [], partition=int(number))
            self._outbox.flush()
        except ValueError as error:  # a partition that was added, of which the producer hears later
            raise DependencyError(f"Kafka producer does not know {row.partition} yet: {error}") from error

    def close(self) -> None:
        self._outbox.close()
