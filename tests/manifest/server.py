"""A web server on loopback that keeps files, and misbehaves as it is told to."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Files by path, and what becomes of requests.

    Attributes:
        files: Content by path.
        requests: Every GET: its path, and its Range header.
        ranges: Whether ranges are served.
        cut: How many further answers break off in the middle.
        delay_s: Pause in the middle of every answer.
        status: What everything is answered with, if it is set.
    """

    def __init__(self):
        self.files, self.requests = {}, []
        self.ranges, self.cut, self.delay_s, self.status = True, 0, 0.0, None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path, user=""):
        return f"http://{user}127.0.0.1:{self._server.server_port}/{path}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def _handler(server):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments):
            pass

        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            server.requests.append((self.path, self.headers.get("Range")))
            self.answer(body=True)

        def answer(self, body):
            content = server.files.get(self.path.partition("?")[0].lstrip("/"))
            status = server.status or (404 if content is None else 200)
            if status != 200:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            total, start, end = len(content), 0, len(content)
            asked = self.headers.get("Range")
            if asked and server.ranges:
                first, _, last = asked.removeprefix("bytes=").partition("-")
                start, end = int(first), min(int(last or total) + 1, total)
                status = 206
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{total}")
            self.send_header("Accept-Ranges", "bytes" if server.ranges else "none")
            self.send_header("Content-Length", str(end - start))
            self.end_headers()
            if body:
                self.send(content[start:end])

        def send(self, content):
            half = len(content) // 2
            self.wfile.write(content[:half])
            if server.cut > 0:
                server.cut -= 1
                self.close_connection = True
                return
            if server.delay_s:
                time.sleep(server.delay_s)
            self.wfile.write(content[half:])

    return Handler
