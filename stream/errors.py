"""The errors of tocsin, one small family; each says what, the value, and what would be right.

TocsinError
├── ConfigError            a config or a command line that cannot be run      exit code 2
├── InputError             an input that cannot be read at all                exit code 1
├── StateError             a snapshot that must not be loaded                 exit code 1
└── DependencyError        something outside does not answer (retriable)      exit code 4 at start
    └── FencedError        another process took our place: stop at once       exit code 1
"""

from typing import ClassVar


class TocsinError(Exception):
    """Base of the family. retriable: the same call may succeed later."""

    retriable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1


class ConfigError(TocsinError):
    exit_code = 2


class InputError(TocsinError):
    pass


class StateError(TocsinError):
    pass


class DependencyError(TocsinError):
    retriable = True
    exit_code = 4


class FencedError(DependencyError):
    retriable = False
    exit_code = 1
