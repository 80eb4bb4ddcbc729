"""A link with faults: a proxy on loopback that forwards, until it is told to cut, to freeze, to garble or to delay."""

import contextlib
import selectors
import socket
import threading
import time


class Link:
    """Forwards connections to a port of this machine.

    `cut()` drops what is open; `down = True` takes no further ones; `frozen = True` swallows everything and closes
    nothing; `garble = n` flips a byte in each of the next n chunks from the board; `delay_s` holds every chunk back.
    """

    def __init__(self, port):
        self.to = port
        self.down = self.frozen = False
        self.garble = 0
        self.delay_s = 0.0
        self.connections = 0
        self.bytes_up = 0
        self._pairs = []
        self._ended = False
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ended = True
        self._server.close()
        self.cut()

    def cut(self):
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self._pairs = []

    def _accept(self):
        while not self._ended:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            if self.down:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.to), 5)
            except OSError:
                near.close()
                continue
            self.connections += 1
            self._pairs.append((near, far))
            threading.Thread(target=self._forward, args=(near, far), daemon=True).start()

    def _forward(self, near, far):
        with contextlib.suppress(OSError, ValueError), selectors.DefaultSelector() as selector:
            selector.register(near, selectors.EVENT_READ, far)
            selector.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in selector.select():
                    chunk = key.fileobj.recv(1 << 15)
                    if not chunk:
                        return
                    self._pass_on(chunk, key.data, upward=key.fileobj is near)
        for end in (near, far):
            end.close()

    def _pass_on(self, chunk, onward, upward):
        if self.frozen:
            return
        if self.delay_s:
            time.sleep(self.delay_s)
        if upward:
            self.bytes_up += len(chunk)
        elif self.garble and len(chunk) > 20:
            self.garble -= 1
            chunk = chunk[:10] + bytes([chunk[10] ^ 0xFF]) + chunk[11:]
        onward.sendall(chunk)
