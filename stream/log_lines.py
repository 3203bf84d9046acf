"""Log lines on standard error: key=value or JSON, a constant message and its fields; repeats are held back."""

import json
import logging
import sys
import time
from typing import Any

STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
REPEAT_S = 60.0


def set_up(level: str, style: str) -> None:
    """Everything from this level on goes to standard error, in the style logfmt or json."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine() if style == "json" else LogfmtLine())
    handler.addFilter(Repeats())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("numba").setLevel(logging.WARNING)  # it tells every step of its compiler


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """Time, level, message and the record's own fields."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
    own = {name: value for name, value in record.__dict__.items() if name not in STANDARD}
    head = {"ts": stamp, "level": record.levelname.lower(), "logger": record.name, "msg": record.getMessage()}
    if record.exc_info:
        own["error"] = repr(record.exc_info[1])
    return {**head, **own}


class LogfmtLine(logging.Formatter):
    """key=value, values in quotes where they hold a space, a quote or an equals sign."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{name}={_quoted(value)}" for name, value in fields(record).items())


class JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(fields(record), default=str)


class Repeats(logging.Filter):
    """One line a minute for each warning or error; the next one says how many were held back."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        key = record.name, record.msg, str(record.__dict__.get("what", ""))
        since, held = self._seen.get(key, (-REPEAT_S, 0))
        if record.created - since < REPEAT_S:
            self._seen[key] = since, held + 1
            return False
        if held:
            record.held_back = held
        self._seen[key] = record.created, 0
        return True


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text) if not text or any(sign in text for sign in ' "=\n') else text
