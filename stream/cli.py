"""The command line: `tocsin VERB`. A verb's module is loaded when it is asked for: mistakes are told at once."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TypeAlias

from stream.errors import TocsinError
from stream.log_lines import set_up

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

EXIT_CODES = "exit codes: 0 ok, 1 failure, 2 usage or config, 3 a check failed, 4 a dependency unreachable at start"


def parser() -> argparse.ArgumentParser:
    """All verbs and options."""
    root = argparse.ArgumentParser(
        prog="tocsin",
        description="Watches multivariate time series, says the moment one goes wrong, and names the cause.",
        epilog=EXIT_CODES,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="default: the config's")
    common.add_argument("--log-format", choices=("logfmt", "json"), help="default: the config's")
    verbs = root.add_subparsers(dest="verb", required=True, metavar="VERB")
    for add in (_add_replay, _add_explain, _add_run, _add_config, _add_topics, _add_state, _add_dlq):
        add(verbs, common)
    version = verbs.add_parser("version", help="print the version")
    version.set_defaults(command="stream.commands:show_version")
    return root


def _add_replay(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    verb = verbs.add_parser("replay", parents=[common], help="find what is anomalous in a recorded file, and why")
    _add_file(verb)
    verb.add_argument("--scores", metavar="S.csv", help="write time,score,verdict, one line a row")
    verb.add_argument("--variable-scores", metavar="V.csv", help="write one score for each variable, one line a row")
    verb.add_argument("--findings", metavar="F.jsonl", help="write verdicts, triggers and incidents as JSON lines")
    verb.add_argument("--dead-letters", metavar="PATH", help="where rejected input is kept (FILE.rejects.jsonl)")
    verb.add_argument("--autoencoder", action="store_true", help="let the autoencoder score too, in step; no vote")
    verb.set_defaults(command="stream.replay:replay")


def _add_explain(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    verb = verbs.add_parser("explain", parents=[common], help="what happened at a time, and why")
    _add_file(verb, outputs=("text", "json", "svg"))
    verb.add_argument("--at", required=True, metavar="TIME", help="in the unit of the file's times, or ISO 8601")
    verb.set_defaults(command="stream.explanation:explain_file")


def _add_file(verb: argparse.ArgumentParser, *, outputs: Sequence[str] = ("text", "json")) -> None:
    verb.add_argument("file", metavar="FILE", help="CSV or JSON lines, plain or gzip; - is standard input")
    verb.add_argument("--config", metavar="C.yml", help="a config file, or a folder of them")
    verb.add_argument("--graph", metavar="G.csv", help="known causes: cause,effect of entities or variables")
    verb.add_argument("--system", metavar="NAME", help="the system's name, where the input has none (the file's name)")
    units = ("auto", "s", "ms", "us", "ns", "iso")
    verb.add_argument("--time-unit", choices=units, help="of the times (auto: by the size of the first number)")
    verb.add_argument("--output", choices=outputs, default="text", help="what standard output gets")


def _add_run(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    verb = verbs.add_parser("run", parents=[common], help="watch a stream for good (Kafka in, Kafka and metrics out)")
    verb.add_argument("--config", required=True, metavar="C.yml", help="a config file, or a folder of them")
    verb.set_defaults(command="stream.service:run")


def _add_config(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    check = verbs.add_parser("check-config", parents=[common], help="say whether a config is right")
    check.add_argument("config", metavar="C.yml", help="a config file, or a folder of them")
    check.set_defaults(command="stream.commands:check_config")
    config = verbs.add_parser("config", help="print the config in full, or its schema")
    what = config.add_subparsers(dest="what", required=True, metavar="show|schema")
    show = what.add_parser("show", help="every option as it is in force")
    show.add_argument("config", nargs="?", metavar="C.yml", help="a config file, or a folder; none: the defaults")
    show.set_defaults(command="stream.commands:show_config")
    what.add_parser("schema", help="a JSON Schema, for editors").set_defaults(command="stream.commands:show_schema")


def _add_topics(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    topics = verbs.add_parser("topics", help="the Kafka topics that the config names")
    what = topics.add_subparsers(dest="what", required=True, metavar="create")
    create = what.add_parser("create", parents=[common], help="make those that are not there")
    create.add_argument("--config", required=True, metavar="C.yml", help="a config file, or a folder of them")
    create.add_argument("--partitions", type=int, default=-1, metavar="N", help="of the input topics (the broker's)")
    create.add_argument("--replication", type=int, default=-1, metavar="N", help="replicas (the broker's default)")
    create.set_defaults(command="stream.commands:create_topics")


def _add_state(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    state = verbs.add_parser("state", help="the snapshots of a running or stopped tocsin")
    what = state.add_subparsers(dest="what", required=True, metavar="inspect")
    inspect = what.add_parser("inspect", parents=[common], help="what is kept of each partition; reads only")
    inspect.add_argument("directory", nargs="?", metavar="DIRECTORY", help="of snapshots (the one of the config)")
    inspect.add_argument("--config", metavar="C.yml", help="whose state topic or directory it is, and what to match")
    inspect.add_argument("--output", choices=("text", "json"), default="text", help="what standard output gets")
    inspect.set_defaults(command="stream.inspection_command:inspect")


def _add_dlq(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    dlq = verbs.add_parser("dlq", help="rejected input that is kept as dead letters")
    what = dlq.add_subparsers(dest="what", required=True, metavar="list|replay")
    show = what.add_parser("list", parents=[common], help="how many, why, and the newest of them")
    show.add_argument("--limit", type=int, default=20, metavar="N", help="letters that are shown (20)")
    show.set_defaults(command="stream.dlq:show")
    replay = what.add_parser("replay", parents=[common], help="send them to their topic again, each once")
    replay.add_argument("--limit", type=int, metavar="N", help="send at most so many, the oldest first (all)")
    replay.add_argument("--dry-run", action="store_true", help="only say how many")
    replay.set_defaults(command="stream.dlq:replay")
    for verb in (show, replay):
        verb.add_argument("file", nargs="?", metavar="FILE", help="*.rejects.jsonl (where the config keeps them)")
        verb.add_argument("--config", required=True, metavar="C.yml", help="a config file, or a folder of them")
        verb.add_argument("--reason", action="append", metavar="R", help="only of this reason; may be repeated")
        verb.add_argument("--output", choices=("text", "json"), default="text", help="what standard output gets")


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; gives its exit code. Mistakes are one line on standard error, never a traceback."""
    arguments = parser().parse_args(words)
    for library in ("OPENBLAS", "OMP", "MKL"):
        # The matrices are small: threads would double the CPU, gain nothing, and round differently on another machine.
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    set_up(getattr(arguments, "log_level", None) or "warning", getattr(arguments, "log_format", None) or "logfmt")
    module, _, name = arguments.command.partition(":")
    try:
        code: int = getattr(import_module(module), name)(arguments)
        return code
    except TocsinError as error:
        print(f"tocsin: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # whoever read our output has gone, as in `tocsin replay F | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
