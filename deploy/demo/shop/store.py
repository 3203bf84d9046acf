"""Store: stock, prices and the ledger in one SQLite database, the only state of the shop."""

import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter

from shop.service import Body, RefusedError, Routes, serve
from shop.telemetry import Telemetry

ITEMS = 400
SCHEMA = """
CREATE TABLE item (name TEXT PRIMARY KEY, stock INTEGER NOT NULL CHECK (stock >= 0), price REAL NOT NULL);
CREATE TABLE ledger (number INTEGER PRIMARY KEY, placed TEXT NOT NULL, amount REAL NOT NULL, receipt TEXT NOT NULL);
"""


def item_name(number: int) -> str:
    return f"item-{number:03d}"


class Database:
    """One SQLite file in WAL mode; each thread has its own connection."""

    def __init__(self, path: str, telemetry: Telemetry) -> None:
        self._path = path
        self._mine = threading.local()
        self._lock_wait = Counter(
            "shop_lock_wait_seconds", "Time that writers waited for the database's lock.", registry=telemetry.registry
        )
        self.connection().executescript("PRAGMA journal_mode = WAL;" + SCHEMA)
        with self.writing() as connection:
            rows = [(item_name(i), 100, round(1 + i % 37 * 1.7, 2)) for i in range(ITEMS)]
            connection.executemany("INSERT INTO item VALUES (?, ?, ?)", rows)

    def connection(self) -> sqlite3.Connection:
        if not hasattr(self._mine, "connection"):
            self._mine.connection = sqlite3.connect(self._path, timeout=1.5, isolation_level=None)
            self._mine.connection.execute("PRAGMA synchronous = NORMAL")
        connection: sqlite3.Connection = self._mine.connection
        return connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction with the write lock; counts the wait for it. Raises RefusedError(503) if it does not come."""
        connection, began = self.connection(), time.perf_counter()
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise RefusedError(503, f"the database is busy: {error}") from error
        finally:
            self._lock_wait.inc(time.perf_counter() - began)
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def column(self, name: str, items: list[str]) -> dict[str, float]:
        """One column of some items. Raises RefusedError(404) for an item that is not there."""
        marks = ", ".join("?" * len(items))
        found = dict(self.connection().execute(f"SELECT name, {name} FROM item WHERE name IN ({marks})", items))
        for item in items:
            if item not in found:
                raise RefusedError(404, f"no item {item}")
        return found

    def hold_lock(self, seconds: float) -> None:
        """Keeps every other writer waiting."""
        with self.writing():
            time.sleep(seconds)


def main() -> None:
    telemetry = Telemetry()
    database = Database(sys.argv[1], telemetry)

    def stock(body: Body) -> Body:
        return {"stock": database.column("stock", body["items"])}

    def prices(body: Body) -> Body:
        return {"prices": database.column("price", body["items"])}

    def move(body: Body) -> Body:
        database.column("stock", list(body["changes"]))
        try:
            with database.writing() as connection:
                for item, change in sorted(body["changes"].items()):
                    connection.execute("UPDATE item SET stock = stock + ? WHERE name = ?", (change, item))
        except sqlite3.IntegrityError as error:
            raise RefusedError(409, "not enough in stock") from error
        return {}

    def ledger(body: Body) -> Body:
        with database.writing() as connection:
            line = (body["order"], body["amount"], body["receipt"])
            connection.execute("INSERT INTO ledger (placed, amount, receipt) VALUES (?, ?, ?)", line)
        return {}

    routes: Routes = {"/stock": stock, "/prices": prices, "/move": move, "/ledger": ledger}
    serve(routes, hold_lock=database.hold_lock, telemetry=telemetry)


if __name__ == "__main__":
    main()
