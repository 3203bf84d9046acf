"""How the command line changes a config's options of a file; shared by the commands that read one."""

import argparse
from dataclasses import replace

from stream.settings import FileSettings


def file_settings(settings: FileSettings, arguments: argparse.Namespace) -> FileSettings:
    """The config's options of a file, with those of the command line."""
    changes = {"path": arguments.file, "system": arguments.system, "time_unit": arguments.time_unit}
    return replace(settings, **{name: value for name, value in changes.items() if value is not None})
