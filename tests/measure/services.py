"""Small services for tests: one that follows the contract or breaks it as told, and one that sends raw bytes."""

import contextlib
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Script:
    """What a service does.

    Attributes:
        predict: A function from the JSON of a request to outputs; None: no outputs.
        health: The fields of its health.
        status: Of every answer; or of predictions alone.
        asked: The requests, as (method, path).
    """

    def __init__(self, predict=None, health=None, status=200, predict_status=None, location="", keep=True, delay=0.0):
        self.predict, self.health, self.status, self.location, self.keep = predict, health or {}, status, location, keep
        self.predict_status, self.delay, self.asked = predict_status or status, delay, []


@contextlib.contextmanager
def served(script):
    """The address of a service in a thread."""

    class Handler(BaseHTTPRequestHandler):
        wbufsize = -1  # head and body in one packet: else each answer waits 40 ms for an acknowledgement
        protocol_version = "HTTP/1.1" if script.keep else "HTTP/1.0"

        def answer(self, status, document):
            body = json.dumps(document).encode()
            self.send_response(status)
            if script.location:
                self.send_header("Location", script.location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            script.asked.append(("GET", self.path))
            self.answer(script.status, script.health)

        def do_POST(self):
            script.asked.append(("POST", self.path))
            request = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(script.delay)
            outputs = script.predict(json.loads(request)) if script.predict else None
            self.answer(script.predict_status, {"outputs": outputs})

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def raw(sent, *, close=False, drip=False):
    """The address of something that sends these bytes to whoever connects, and then closes, drips or says nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def run():
        with contextlib.suppress(OSError):
            line, _ = listener.accept()
            line.recv(1 << 16)
            line.sendall(sent)
            if close:
                line.close()
                return
            while not over.wait(0.05):
                if drip:
                    line.sendall(b"x")
            line.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.close()
        thread.join()
