"""Plays Thruster, as far as a server behind it can tell: `thrust COMMAND...`.

It starts the command with PORT as it is told to by TARGET_PORT, asks localhost there, says where a request came from and
when, keeps what the client said of that itself, relays SIGINT and SIGTERM, and ends with the command's status.
It listens on descriptor 3 rather than on HTTP_PORT.
"""
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TARGET_PORT = int(os.environ.get("TARGET_PORT", "3000"))


class Proxy(BaseHTTPRequestHandler):
    def do_GET(self):
        fields = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        before = self.headers.get("X-Forwarded-For")
        fields["X-Forwarded-For"] = ", ".join(filter(None, [before, self.client_address[0]]))
        fields.setdefault("X-Forwarded-Host", self.headers["Host"])
        fields.setdefault("X-Forwarded-Proto", "http")
        fields.setdefault("X-Request-Start", "t=%d" % (time.time() * 1000))
        upstream = http.client.HTTPConnection("localhost", TARGET_PORT)
        try:
            upstream.request("GET", self.path, headers=fields)
            answer = upstream.getresponse()
            body = answer.read()
            self.send_response(answer.status)
        except OSError:
            body = b""
            self.send_response(502)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


for name in ("LISTEN_FDS", "LISTEN_PID"):
    os.environ.pop(name, None)
command = subprocess.Popen(sys.argv[1:], env={**os.environ, "PORT": str(TARGET_PORT)})
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: command.send_signal(number))
server = ThreadingHTTPServer(("", 0), Proxy, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
server.server_name, server.server_port = "thruster", 0
import threading

threading.Thread(target=server.serve_forever, daemon=True).start()
sys.exit(command.wait())
