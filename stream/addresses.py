"""What the address of another process tells."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether what is sent there stays on this machine.

    >>> is_loopback("localhost"), is_loopback("[::1]"), is_loopback("kafka.example")
    (True, True, False)
    """
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
