"""Who the client is behind a proxy: forwarding headers count only if a trusted proxy sent them."""

import logging
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from tornado.httputil import HTTPServerRequest

_FORWARDING = ("X-Forwarded-For", "X-Real-Ip", "X-Forwarded-Proto", "Forwarded", "X-Scheme")

logger = logging.getLogger("latchkey")


class TrustedProxies:
    """The proxies in front of the site, as networks (`10.0.0.0/8`) or addresses. None: no header is believed.

    Tornado's own `xheaders` believes every peer, and takes X-Real-Ip from the client if the proxy sets only
    X-Forwarded-For.
    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ip_network(network) for network in networks]
        self._has_warned = False

    def apply(self, request: HTTPServerRequest) -> None:
        """Sets the request's `remote_ip` and `protocol` to those of the client, if a trusted proxy told them.

        The address is the right-most one of X-Forwarded-For that is no trusted proxy's: what stands left of
        it anybody can have written. X-Real-Ip counts only where there is no X-Forwarded-For. `Forwarded`,
        X-Scheme and X-Forwarded-Host never do.
        """
        told = [name for name in _FORWARDING if name in request.headers]
        if not told:
            return
        if not self._is_trusted(request.remote_ip or ""):
            self._warn(told[0], request.remote_ip or "")
            return
        hops = _values(request, "X-Forwarded-For") or _values(request, "X-Real-Ip")[-1:]
        for hop in reversed(hops):
            if not _is_address(hop):
                break
            request.remote_ip = hop
            if not self._is_trusted(hop):
                break
        if (protocol := forwarded_protocol(request)) in {"http", "https"}:
            request.protocol = protocol

    def _is_trusted(self, address: str) -> bool:
        if not _is_address(address):
            return False
        ip = ip_address(address)
        mapped = getattr(ip, "ipv4_mapped", None) or ip
        return any(mapped in network or ip in network for network in self._networks)

    def _warn(self, header: str, peer: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%s from %s is ignored: it is not in TRUSTED_PROXIES (told once a process)", header, peer
            )


def is_forwarded(request: HTTPServerRequest) -> bool:
    """Whether a proxy says that it stands in between, trusted or not."""
    return any(name in request.headers for name in _FORWARDING)


def forwarded_protocol(request: HTTPServerRequest) -> str:
    """What the nearest proxy says the client used, trusted or not, in lower case; "" if it says nothing."""
    return "".join(_values(request, "X-Forwarded-Proto")[-1:]).lower()


def _values(request: HTTPServerRequest, name: str) -> list[str]:
    return [value.strip() for line in request.headers.get_list(name) for value in line.split(",")]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # what follows is the zone of an IPv6 address, which may be any text
