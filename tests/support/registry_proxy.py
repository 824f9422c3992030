#!/usr/bin/env python3
"""A registry before the real one: passes everything on, writes down every request, and has the faults tests ask for.

The first line on stdout is the port. It ends when its stdin closes. FOLDER/log gets a JSON object a request; FOLDER/fault,
where there is one, names the fault of all that is asked below /v2/<name>/: `401`, `403`, `404`, `429`, `500`, `html`,
`digest` (one that does not parse), `none` (no digest), `hang`, `away` (a redirect to --away).
"""

import argparse
import base64
import http.client
import json
import os
import ssl
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LOCK = threading.Lock()
TOKEN = "token-of-the-service"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    options = None

    def log_message(self, *_):
        pass

    def setup(self):
        if self.server.tls:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle_request(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        entry = {
            "method": self.command,
            "path": self.path,
            "host": self.headers.get("Host"),
            "agent": self.headers.get("User-Agent", ""),
            "authorization": self.headers.get("Authorization", ""),
            "accept": self.headers.get("Accept", ""),
            "body": self.body.decode("latin-1"),
        }
        with LOCK, open(self.options.folder / "log", "a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        if self.path.startswith("/token"):
            return self.answer_token()
        wanted = f"Bearer {TOKEN}" if self.options.realm else None
        if wanted and self.headers.get("Authorization") != wanted:
            challenge = f'Bearer realm="{self.options.realm}",service="{self.options.service}"'
            return self.answer(401, {"WWW-Authenticate": challenge}, error("UNAUTHORIZED", "authentication required"))
        if self.path != "/v2/" and self.fault():
            return self.break_down(self.fault())
        return self.pass_on()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_request

    def fault(self):
        try:
            return (self.options.folder / "fault").read_text()
        except FileNotFoundError:
            return ""

    def answer_token(self):
        basic = base64.b64encode(f"{self.options.user}:{self.options.password}".encode()).decode()
        form = urllib.parse.parse_qs(self.body.decode())
        known = self.headers.get("Authorization") == f"Basic {basic}" or form.get("refresh_token") == [self.options.password]
        if self.options.user and not known:
            return self.answer(401, {}, json.dumps({"details": "incorrect username or password"}))
        return self.answer(200, {}, json.dumps({"token": TOKEN, "expires_in": 300}))

    def break_down(self, fault):
        words = {"401": ("UNAUTHORIZED", "authentication required"), "403": ("DENIED", "not for you"),
                 "404": ("MANIFEST_UNKNOWN", "manifest unknown"), "429": ("TOOMANYREQUESTS", "slow down"),
                 "500": ("UNKNOWN", "the disk is on fire")}
        digest = "Docker-Content-Digest"
        if fault in words:
            headers = {"Retry-After": "77"} if fault == "429" else {}
            return self.answer(int(fault), headers, error(*words[fault]))
        if fault == "html":
            return self.answer(200, {"Content-Type": "text/html"}, "<html><body>Welcome to the hotel</body></html>")
        if fault == "digest":
            return self.answer(200, {digest: "sha256:nonsense"}, "{}")
        if fault == "away":
            return self.answer(307, {"Location": self.options.away + self.path}, "")
        if fault == "hang":
            time.sleep(60)
        return self.answer(200, {}, "{}")

    def pass_on(self):
        host, _, port = self.options.upstream.rpartition(":")
        upstream = http.client.HTTPConnection(host, int(port), timeout=30)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        # One by one: docker sends `Accept` several times.
        for name, value in self.headers.items():
            if name.lower() not in ("authorization", "connection"):
                upstream.putheader(name, value)
        upstream.endheaders(self.body or None)
        answer = upstream.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(content)
        upstream.close()

    def answer(self, status, headers, text):
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())


def error(code, message):
    return json.dumps({"errors": [{"code": code, "message": message}]})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    tls = None

    def handle_error(self, request, client_address):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--bind", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--upstream", required=True, help="the real registry, host:port")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--realm", help="wants tokens of this service")
    parser.add_argument("--service", default="stand-in")
    parser.add_argument("--user", default="", help="the token service wants this user")
    parser.add_argument("--password", default="")
    parser.add_argument("--away", default="")
    Handler.options = parser.parse_args()
    server = Server((Handler.options.bind, Handler.options.port), Handler)
    if Handler.options.tls:
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.tls.load_cert_chain(*Handler.options.tls)

    def end_with_stdin():
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=end_with_stdin, daemon=True).start()
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
