"""Where the server listens: its sockets, and whether that is safe.

On loopback nobody but this machine's users is on the way. Beyond it everybody is, and
would read the tokens: so that takes TLS, or a setting that says that it is meant.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import ssl
from pathlib import Path
from weakref import WeakSet

from .errors import ServerError

LOOPBACK = "127.0.0.1"


def listen(host: str, port: int, *, strict: bool = False) -> tuple[socket.socket, str]:
    """A listening socket at `port`, or at a free one when that is taken; and a notice if so.

    `strict`: a taken port is an error. Raises `ServerError`.
    """
    try:
        try:
            return _bound(host, port), ""
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE or strict:
                raise
        listener = _bound(host, 0)
    except (OSError, OverflowError) as exc:
        raise ServerError(
            f"the MCP server can't listen on {host}:{port}: {exc}. Set ORCHESTRATOR_PORT to another port, "
            "or to 0 for any free one"
        ) from exc
    return listener, f"port {port} is taken; listening on {listener.getsockname()[1]}"


def check_safe(host: str, *, tls: bool, insecure: bool) -> None:
    """Raises `ServerError` when others could read the tokens on their way, and nobody said that they may."""
    if is_loopback(host) or tls or insecure:
        return
    raise ServerError(
        f"the MCP server listens on loopback only, not on {host}: without TLS everybody on the way "
        "could read the tokens. Give it a certificate (ORCHESTRATOR_TLS_CERT, ORCHESTRATOR_TLS_KEY), set "
        "ORCHESTRATOR_HOST=127.0.0.1 and use an SSH tunnel from elsewhere, or set ORCHESTRATOR_INSECURE=yes "
        "if you trust the whole way"
    )


def check_certificate(cert: Path, key: Path | None) -> None:
    """Raises `ServerError` when no server can show that certificate."""

    def locked() -> str:
        raise ValueError("the key is encrypted; nobody is there to type its passphrase")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, locked)
    except (OSError, ValueError) as exc:  # ssl's errors are of the system's kind
        raise ServerError(
            f"TLS can't be served with the certificate {cert} and the key {key or cert}: {exc}. "
            "Both are PEM files, named by ORCHESTRATOR_TLS_CERT and ORCHESTRATOR_TLS_KEY"
        ) from exc


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reached_at(host: str) -> str:
    """The address at which this machine itself reaches who listens on `host`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return LOOPBACK if address.version == 4 else "::1"


def in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


_listeners: WeakSet[socket.socket] = WeakSet()


def _bound(host: str, port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only where the protocol is named: 1 ms a call instead of 44
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # now, because two that only bound a port could both have it
    except BaseException:
        listener.close()
        raise
    _listeners.add(listener)
    return listener


def _close_inherited() -> None:
    """A fork of the kernel must not keep the port open when the kernel is gone."""
    for listener in tuple(_listeners):
        listener.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)
