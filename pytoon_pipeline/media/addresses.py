"""Which addresses may be asked at all: hosts that are listed, and only where they are public.

Whoever writes a brief writes addresses, and must not reach through them what only this machine can
reach. So a host has to be listed by whoever runs Pytoon, and all that its name leads to has to lie
on the public internet. `media.client` connects to what was checked here and to nothing else.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pytoon_pipeline.errors import FetchRefusedError, Problem, SettingsError

if TYPE_CHECKING:
    import httpx

Resolver = Callable[[str, int], Sequence[str]]
"""Host and port -> IP addresses as text. Raises OSError where there are none."""

USUAL_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")
_LONGEST_HOST = 253
"""Characters of a host's name (RFC 1035)."""
_READ = 10_000
"""Characters of an address that are looked at for a message."""
_SHOWN = 200
"""Characters of an address in a message."""


# Addresses as text --------------------------------------------------------------------------------


def strip_query(address: str) -> str:
    """Return an address for messages and logs: without its query, which is where links that are
    signed carry their key, without a password, and on one line."""
    text = "".join(c if c.isprintable() else "?" for c in address[:_READ])
    if not text.lower().startswith("s3://"):  # There it is a part of the key.
        secret = "@" in text
        text = re.split(r"[?#]", text, maxsplit=1)[0]
        text = re.sub(r"^([^/]*//)?[^/]*@", r"\1", text)
        if secret:
            # What is no port begins a password that has signs of addresses in it: `:p/w@`, `:p?w@`.
            text = re.sub(r"^([^/]*//)?[^/\[\]]*:(?!\d*(/|$)).*", r"\1***", text, flags=re.S)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def without_secrets(text: object) -> str:
    """Return a library's words with the addresses in them as they may be shown, on one line."""
    line = " ".join(str(text).split())
    return re.sub(
        r"[A-Za-z][A-Za-z0-9+]{0,20}://[^\s\"'<>]+", lambda found: strip_query(found[0]), line
    )


# What is public -----------------------------------------------------------------------------------

_UNICAST = ipaddress.ip_network("2000::/3")  # All of IPv6 that has been given out for public use.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# What Python 3.11 counts as public, or would in other versions: shared address space of carriers
# (cloud metadata, too), protocol assignments, 6to4 relays, Azure's metadata server; documentation
# and segment routing.
_NOT_PUBLIC = [
    ipaddress.ip_network(text)
    for text in (
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "168.63.129.16/32",
        "3fff::/20",
        "2001::/23",
    )
]


def is_public(text: str) -> bool:
    """Return whether this IP address is one of the public internet. IPv4 inside IPv6 (mapped, 6to4,
    NAT64) counts as what it leads to."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip not in _UNICAST:
            return False
    if any(ip in network for network in _NOT_PUBLIC if network.version == ip.version):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def resolve_host(host: str, port: int) -> list[str]:
    """Return the addresses that this machine finds for a host, each once, in the order to try
    them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


# What is listed -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _AllowedHost:
    """One of the allowed hosts."""

    host: str
    below: bool
    """It stands for every host below it (`*.example.com`), not for itself."""
    port: int | None

    def allows(self, host: str, port: int) -> bool:
        named = host.endswith(f".{self.host}") if self.below else host == self.host
        return named and (port in USUAL_PORTS.values() if self.port is None else port == self.port)


def _parse_allowed_host(text: str, setting: str) -> _AllowedHost:
    below = text.startswith("*.")
    name, port = text.removeprefix("*.").lower().rstrip("."), None
    found = re.fullmatch(r"(\[.*\]|[^:]*):(\d{1,5})", name)
    if found:
        name, port = found[1], int(found[2])
    name = _encode_hostname(name)
    try:
        plain = name[1:-1] if name.startswith("[") and name.endswith("]") else ""
        name = str(ipaddress.IPv6Address(plain)) if plain else name
        known = bool(plain) or _HOST.fullmatch(name) is not None
    except ValueError:
        known = False
    if not known or (port is not None and not 0 < port < 65536):
        raise SettingsError(
            Problem(
                "settings.hosts",
                f"{text!r} is not a host.",
                "Write names such as cdn.example.com, *.example.com or cdn.example.com:8443, "
                "separated by commas.",
                field=setting,
            )
        )
    return _AllowedHost(name, below, port)


def _encode_hostname(host: str) -> str:
    """A host's name as it is looked up; itself where it has no such form."""
    if host.isascii():
        return host
    import httpx

    try:
        return httpx.URL(f"http://{host}").raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError):
        return host


class AddressGuard:
    """Who may be asked over http(s): `host`, `*.example.com` (all below it), each with or without
    `:port`. Without one the usual ports of both schemes are meant, with one that port alone.

    `setting` is the name of the setting that holds the list, for messages. `allow_private` leaves
    out the check of where a host lies; it is for tests, and no setting leads to it. Raises
    SettingsError for an entry that is no host.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        setting: str = "PYTOON_MEDIA_HOSTS",
        *,
        allow_private: bool = False,
        resolver: Resolver = resolve_host,
    ):
        self.setting, self.allow_private, self._resolver = setting, allow_private, resolver
        self._entries = [_parse_allowed_host(text, setting) for text in hosts]

    def check(self, address: str | httpx.URL) -> httpx.URL:
        """Return the address, if it may be asked by all that can be read in it; nothing is looked
        up.

        Raises FetchRefusedError: `media.address`, `media.scheme`, `media.host`.
        """
        import httpx

        said = strip_query(str(address))
        try:
            url = httpx.URL(address)
            host = url.raw_host.decode("ascii").rstrip(".")
            host = str(ipaddress.IPv6Address(host)) if ":" in host else host
            _ = url.host  # httpx reads a name that begins with xn--, and fails where it is none.
        except (httpx.InvalidURL, ValueError):
            raise _unreadable_address_error(said) from None
        if url.scheme not in USUAL_PORTS:
            raise FetchRefusedError(
                "media.scheme",
                f"{said} is not an http or https address.",
                "Give an https:// or s3:// address, or a file.",
            )
        if url.userinfo:
            raise FetchRefusedError(
                "media.address",
                f"{said} comes with a user name or password in it.",
                "Use a link that works without them, or a signed one.",
            )
        port = USUAL_PORTS[url.scheme] if url.port is None else url.port
        if not 0 < len(host) <= _LONGEST_HOST or not 0 < port < 65536:
            raise FetchRefusedError(
                "media.address",
                f"{said} names no host, or an impossible port.",
                "Copy the address again, whole.",
            )
        if any(entry.allows(host, port) for entry in self._entries):
            return url
        name = (f"[{host}]" if ":" in host else host) + (
            "" if port in USUAL_PORTS.values() else f":{port}"
        )
        if not self._entries:
            raise FetchRefusedError(
                "media.host",
                f"{said}: no host may be asked, because {self.setting} is not set.",
                f"Whoever runs Pytoon can set {self.setting}={name} .",
            )
        raise FetchRefusedError(
            "media.host",
            f"{said}: the host {name} is not among those that may be asked.",
            f"Use one that is, or have {name} added to {self.setting}.",
        )

    def addresses(self, host: str, port: int, said: str) -> list[str]:
        """Return the IP addresses to connect to, looked up once and every one of them checked.
        `said` is the address in messages.

        Raises FetchRefusedError: `media.unreachable`, `media.private`.
        """
        try:
            found = list(self._resolver(host, port))
        except (OSError, UnicodeError):
            found = []
        if not found:
            raise FetchRefusedError(
                "media.unreachable",
                f"{said}: the host {host} is not found.",
                "Check its spelling, and this machine's network.",
            )
        if not self.allow_private and not all(is_public(ip) for ip in found):
            # What exactly it leads to is no business of whoever wrote the address.
            raise FetchRefusedError(
                "media.private",
                f"{said}: the host {host} leads into a private network.",
                "Only hosts of the public internet are asked; take private media from a folder "
                "or a bucket.",
            )
        return found


def server_guard(
    url: str, setting: str, *, allow_private: bool = True, resolver: Resolver = resolve_host
) -> AddressGuard:
    """Return a guard that lets one server pass, the one of an address: by its name and port.
    FetchRefusedError for what is no http address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or USUAL_PORTS.get(parts.scheme, 0)
        named = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        guard = AddressGuard([named], setting, allow_private=allow_private, resolver=resolver)
    except (ValueError, SettingsError):
        raise _unreadable_address_error(strip_query(url)) from None
    guard.check(url)
    return guard


def redirect_target(url: httpx.URL, location: str) -> httpx.URL:
    """Return where an answer from `url` leads on to, by the text of its `Location`; nothing is
    checked yet but that it is an address. Raises FetchRefusedError `media.address`."""
    import httpx

    try:
        return url.join(location.strip())
    except (httpx.InvalidURL, ValueError):
        raise _unreadable_address_error(strip_query(location)) from None


def _unreadable_address_error(said: str) -> FetchRefusedError:
    return FetchRefusedError(
        "media.address", f"{said} can't be read as an address.", "Copy it again, whole."
    )


def check_bucket(address: str, buckets: Sequence[str]) -> tuple[str, str]:
    """Return bucket and key of an `s3://` address whose bucket is listed, as `bucket` or
    `bucket/prefix`.

    Raises FetchRefusedError: `media.address`, `media.host`.
    """
    said = strip_query(address)
    bucket, _, key = address[len("s3://") :].partition("/")
    parts = key.split("/")
    # Some servers make a path of a key, and walk up where it says so.
    if not _BUCKET.fullmatch(bucket) or not key.isprintable() or {"", ".", ".."} & set(parts):
        raise FetchRefusedError(
            "media.address", f"{said} names no object.", "Write s3://bucket/path/to/file.jpg ."
        )
    for entry in buckets:
        name, _, prefix = entry.removeprefix("s3://").strip("/").partition("/")
        if bucket == name and (not prefix or f"{key}/".startswith(f"{prefix}/")):
            return bucket, key
    if not buckets:
        raise FetchRefusedError(
            "media.host",
            f"{said}: no bucket may be read, because PYTOON_MEDIA_BUCKETS is not set.",
            f"Whoever runs Pytoon can set PYTOON_MEDIA_BUCKETS={bucket} .",
        )
    raise FetchRefusedError(
        "media.host",
        f"{said}: this place in the bucket {bucket} is not among those that may be read.",
        f"Use one that is, or have {bucket} added to PYTOON_MEDIA_BUCKETS.",
    )
