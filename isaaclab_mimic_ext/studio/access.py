"""Access to the studio: token, Host, Origin, and the headers that every answer carries."""

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_ANY = frozenset({"0.0.0.0", "::", ""})


class AccessError(Exception):
    """A request that is refused; `status` is its HTTP status."""

    def __init__(self, status: HTTPStatus, text: str):
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Access:
    """Rules for requests to a server.

    Attributes:
        host: address that the server listens to.
        token: secret in the address that the terminal shows.
    """

    host: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def is_local(self) -> bool:
        """Return whether only this machine can connect."""
        return self.host.lower() in _LOOPBACK

    @property
    def reachable_hosts(self) -> tuple[str, ...]:
        """Hosts of addresses that a browser can open: on this machine, then from others if they differ."""
        if self.host not in _ANY:
            return (self.host,)
        loopback = "::1" if self.host == "::" else "127.0.0.1"
        return (loopback, _outward_address(self.host == "::") or socket.gethostname())

    def check_host(self, host: str) -> None:
        """Refuse a foreign Host, which a page of another site uses after it has rebound its name to this machine (421)."""
        name = _name_of(host)
        if name is None or not (name in _LOOPBACK | {self.host.lower()} or (self.host in _ANY and _is_own_name(name))):
            raise AccessError(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"Host: '{host[:100]}' is not a name of this server; open the address that the terminal shows",
            )

    def check_origin(self, origin: str | None, host: str) -> None:
        """Refuse a websocket of a page of another site (403). `host` has been checked."""
        if origin not in (f"http://{host}", f"https://{host}"):
            raise AccessError(
                HTTPStatus.FORBIDDEN, f"Origin: '{str(origin)[:100]}' is not the studio's page; open the page of the studio"
            )

    def has_token(self, path: str) -> bool:
        """Return whether the query of a path has the token."""
        given = parse_qs(urlsplit(path).query).get("token", [""])[0]
        return self._is_token(given)

    def check_cookie(self, header: str, port: int) -> None:
        """Refuse a request without the cookie that the first page has set (403)."""
        cookies = (part.strip().partition("=") for part in header.split(";"))
        if not any(name == _cookie_name(port) and self._is_token(value) for name, _, value in cookies):
            raise AccessError(
                HTTPStatus.FORBIDDEN, "token: missing or wrong; open the address with ?token= that the terminal shows"
            )

    def cookie(self, port: int) -> str:
        """Header that sets the cookie."""
        return f"{_cookie_name(port)}={self.token}; HttpOnly; SameSite=Strict; Path=/"

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="surrogateescape"), self.token.encode())


def headers_of(kind: str, size: int, extra: Mapping[str, str]) -> dict[str, str]:
    """Headers of an answer with a body of `size` bytes."""
    return {"Content-Type": kind, "Content-Length": str(size), **SECURITY_HEADERS, **extra}


def _cookie_name(port: int) -> str:
    """Cookies do not distinguish ports, and two studios may run on one machine."""
    return f"mimic_studio_{port}"


def _outward_address(is_ipv6: bool) -> str | None:
    """Address of this machine in its network; None without one. No packet is sent to the documentation address."""
    family, other = (socket.AF_INET6, "2001:db8::1") if is_ipv6 else (socket.AF_INET, "192.0.2.1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((other, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None


def _name_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _is_own_name(name: str) -> bool:
    """Return whether a name is an address, which cannot be rebound, or the name of this machine."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in {socket.gethostname().lower(), socket.getfqdn().lower()}
    return True
