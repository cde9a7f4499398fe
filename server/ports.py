"""The address the site listens on."""

import errno
import os
import socket

from tornado.netutil import bind_sockets

from server.errors import StartError


def bind(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    """A listening socket on one address; port 0 takes any free one. Raises `StartError`.

    `is_shared`: several processes listen on the port, and the kernel gives each connection to one of them.
    Otherwise a port that somebody listens on already is an error, never a second server in silence.
    """
    # One address only: port 0 for "localhost" would give IPv4 and IPv6 two different ports.
    try:
        return bind_sockets(port, host, reuse_port=is_shared)[0]
    except (OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise StartError(f"port {port} is in use; choose another with --port, or 0") from None
        reason = error.strerror if isinstance(error, OSError) else "no such host name"
        raise StartError(f"cannot listen on {host}:{port}: {reason}") from None


def reserve(host: str, port: int) -> socket.socket:
    """A socket that keeps the port for processes that will share it, and takes no connections itself.

    Raises `StartError`, above all if another program listens there.
    """
    # A shared port would let us in beside another program, so the first look is without sharing.
    with bind(host, port) as probe:
        family, address = probe.family, probe.getsockname()
    reserved = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            reserved.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(address)
    except OSError as error:
        reserved.close()
        raise StartError(f"cannot keep port {address[1]} for several processes: {error.strerror}") from None
    return reserved


def url(host: str, bound: socket.socket) -> str:
    """Where a browser on this machine finds the socket."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{bound.getsockname()[1]}"
