"""Whether a request that a browser sends was caused by a page of another site.

A server on this machine or in a private network is reachable by every web page that an operator has
open: the page can send requests through the operator's browser, or resolve its own name to the
server's address ("DNS rebinding"). The headers Host, Origin and Sec-Fetch-Site tell such requests
apart; a page cannot change them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping

_AUTHORITY = re.compile(
    r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:(?P<port>[0-9]{1,5}))?"
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def split_authority(text: str) -> tuple[str, int | None] | None:
    """The name (lower case, without brackets and a final dot) and the port of `name:port`, as the
    Host header has it; None for anything else."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    name = found["name"].lower().strip("[]").rstrip(".")
    return (name, int(found["port"]) if found["port"] else None) if name else None


def is_address(name: str) -> bool:
    """Is a name an IP address, written out?"""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(name: str) -> bool:
    """Is this name or address this machine's own?"""
    name = name.lower().rstrip(".").strip("[]")
    return name == "localhost" or (is_address(name) and ipaddress.ip_address(name).is_loopback)


def is_known_host(host: str, names: Iterable[str]) -> bool:
    """Does a Host header name this server: as localhost, by one of `names`, or by an IP address?

    The owner of a domain can let its name resolve to this server, and then pages of that domain are
    of the same origin as the server. Nobody can do that with an IP address or with localhost.
    """
    found = split_authority(host)
    if found is None:
        return False
    return found[0] == "localhost" or is_address(found[0]) or found[0] in names


def is_same_origin(origin: str, host: str) -> bool:
    """Is an Origin header's value the origin of the server that a Host header names? The scheme is
    not compared: a proxy may have taken TLS off."""
    scheme, separator, rest = origin.partition("://")
    default = _DEFAULT_PORTS.get(scheme.lower())
    there, here = split_authority(rest), split_authority(host)
    if not separator or default is None or there is None or here is None:
        return False
    return (there[0], there[1] or default) == (here[0], here[1] or default)


def is_cross_site(method: str, headers: Mapping[str, str]) -> bool:
    """Did a page of another origin cause this request? Links that a person follows do not count:
    they open a page of this server in a window, where the other page cannot look into it.

    Programs send neither Origin nor Sec-Fetch-Site, and are not stopped; browsers send Origin with
    every POST and WebSocket handshake, and Sec-Fetch-Site with everything.
    """
    origin = headers.get("origin")
    if origin is not None and not is_same_origin(origin, headers.get("host", "")):
        return True
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    followed = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    return method not in ("GET", "HEAD") or followed != ("navigate", "document")
