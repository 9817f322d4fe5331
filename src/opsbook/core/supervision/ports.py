"""Whether a TCP port is free to listen on, and who has it otherwise."""

from __future__ import annotations

import errno
import socket

import psutil

from opsbook.core.errors import Unavailable


class PortTaken(Unavailable):
    """Another program listens where we were told to."""

    title = "The port is taken"


def require_free(host: str, port: int) -> None:
    """Make sure that a server can listen on this address.

    Raises:
        PortTaken: Another one does; says which, where the system tells.
        Unavailable: The address is not one of this machine's, or not allowed to us.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"{host}:{port} is taken{_by_whom(port)}: stop it, or choose another --port") from error
        raise Unavailable(f"cannot listen on {host}:{port}: {error.strerror}") from error


def _by_whom(port: int) -> str:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return " by another program"
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
            return f" by {_name(connection.pid)} (pid {connection.pid})"
    return " by another program"


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "another program"
