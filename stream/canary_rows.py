"""The rows of the canary: three variables that move together, and at times jump together. A function of the time alone.

Whoever makes the row of a slot makes the same one, so that a canary goes on unchanged when its partition moves. The
variables follow one signal, so that every rule sees the jump: the vote over whole rows, the majority inside each
variable, and the poll of correlated ones. It jumps down, for a relative error (RePAD2's) hardly sees a jump up. At
RARE rows from jump to jump the presets team, majority and rola flag each one, 111 of 111 in 40,000 rows of team; at 200
rows it misses two in five, for what comes so often is normal.
"""

import hashlib
import math

VARIABLES = ("canary.rate", "canary.load", "canary.delay")
LEVELS, GAINS = (100.0, 20.0, 5.0), (4.0, 1.0, 0.25)
JUMP = 30.0  # in units of the signal, which moves by some 1.5; each differs in size from the one before
JUMP_ROWS = 2
RARE = 360  # rows from one jump to the next, at least


def row(slot: int, jump: int | None = None) -> tuple[float, ...]:
    """The values of a slot. jump: the number of the jump that it belongs to.

    >>> row(7) == row(7), len(row(7)) == len(VARIABLES)
    (True, True)
    """
    signal = math.sin(2 * math.pi * slot / 97) + 0.5 * math.sin(2 * math.pi * slot / 31) + 0.3 * _noise(slot, "signal")
    if jump is not None:
        signal -= JUMP * (1 + 0.1 * (jump % 7))
    own = [0.05 * _noise(slot, name) for name in VARIABLES]
    return tuple(
        round(level + gain * (signal + noise), 6) for level, gain, noise in zip(LEVELS, GAINS, own, strict=True)
    )


def _noise(slot: int, what: str) -> float:
    """Even between -1 and 1."""
    digest = hashlib.blake2b(f"{what} {slot}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**63 - 1.0


def system_name(name: str, group: str, partition: str) -> str:
    """Groups that read one topic, and the partitions of one group, have canaries of their own."""
    return f"{name}/{group}/{partition}"


def is_canary(name: str, system: str) -> bool:
    """Whether the system is a canary of any group.

    >>> is_canary("tocsin-canary", "tocsin-canary/tocsin/t-0"), is_canary("tocsin-canary", "shop")
    (True, False)
    """
    return bool(name) and system.startswith(f"{name}/")
