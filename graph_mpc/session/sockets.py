"""Sockets: options, waking blocked threads, and keeping track of what must be closed."""

from __future__ import annotations

import socket
import threading


def set_options(connection: socket.socket, user_timeout: float, silence: float) -> None:
    """Send small messages at once, and notice a dead network without help of the application."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    every = max(1, round(silence / 4))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, every)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, every)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    milliseconds = min(round(user_timeout * 1000), 2**31 - 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def hang_up(connection: socket.socket) -> None:
    """Wake a thread that is blocked on this connection; whoever owns the thread closes it after.

    ``SSLSocket.shutdown`` drops the TLS layer before it stops the socket, so that a sender thread
    could write plaintext in between. The plain method keeps it.
    """
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return  # Not connected any more: nobody is blocked on it.


class OpenSockets:
    """Connections that are still being set up, so that stopping can wake and close them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._stopped = False

    def add(self, connection: socket.socket) -> None:
        """Keep track of a connection; raise OSError when already stopped."""
        with self._lock:
            if self._stopped:
                raise OSError("stopped")
            self._sockets.add(connection)

    def release(self, connection: socket.socket) -> None:
        """Hand the connection over to its link."""
        with self._lock:
            self._sockets.discard(connection)

    def drop(self, connection: socket.socket) -> None:
        """Close a connection that came to nothing."""
        self.release(connection)
        connection.close()

    def stop(self) -> None:
        """Wake every thread that is blocked on one of the connections."""
        with self._lock:
            self._stopped = True
            for connection in self._sockets:
                hang_up(connection)
