"""What the address of another process tells."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether what is sent there stays on this machine.

    >>> is_loopback("localhost"), is_loopback("[::1]"), is_loopback("kafka.example")
    (True, True, False)
    """
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def url_fault(url: str) -> str | None:
    """What is wrong with a URL that JSON is to be posted to; None if nothing is. The URL itself is not told.

    >>> url_fault("https://host:9093/path"), url_fault("host:9093"), url_fault("http://me:secret@host")[:20]
    (None, 'must be a URL such as http://host:9093/path', 'must not hold a user')
    """
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        is_url = is_url and url.isascii() and " " not in url and url.isprintable()
    except ValueError:
        is_url = False
    if not is_url:
        return "must be a URL such as http://host:9093/path"
    return "must not hold a user: username and password are options of http" if "@" in parts.netloc else None
