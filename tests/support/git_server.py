#!/usr/bin/env python3
"""A git server on loopback: smart HTTP by `git http-backend`, with the faults tests ask for.

The first line on stdout is the port; it is a proxy for https too (CONNECT). It ends when its stdin closes or its parent dies.
With both --user and --redirect-to, the password is asked before the redirect is answered.
"""

import argparse
import base64
import json
import os
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body leave in two writes; without this every answer waits 40 ms for an ACK.
    disable_nagle_algorithm = True
    options = None
    answered = 0
    pulls = []

    def log_message(self, *_):
        pass

    def setup(self):
        # The handshake belongs here, in the connection's own thread, not in the accepting one.
        if self.server.tls:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def do_GET(self):
        self.handle_request()

    def do_POST(self):
        self.handle_request()

    def do_PATCH(self):
        self.handle_request()

    def do_CONNECT(self):
        """Is a proxy: a tunnel to whatever is asked."""
        self.write_log()
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as target:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=relay, args=(target, self.connection), daemon=True)
            back.start()
            relay(self.connection, target)
            back.join()
        self.close_connection = True

    def write_log(self):
        if self.options.log:
            kind = "auth" if self.headers.get("Authorization") else "anon"
            with LOCK, open(self.options.log, "a", encoding="utf-8") as log:
                log.write(f"{self.command} {self.path} {kind} {self.headers.get('Host')}\n")

    def handle_request(self):
        options = self.options
        authorization = self.headers.get("Authorization")
        self.write_log()
        body = self.read_body()
        with LOCK:
            Handler.answered += 1
            turn = Handler.answered
        if options.hang_after is not None and turn > options.hang_after:
            while True:
                time.sleep(60)
        time.sleep(options.delay)
        if options.forge and self.path.startswith("/api/"):
            return self.forge(body)
        if options.user is not None:
            wanted = base64.b64encode(f"{options.user}:{options.password}".encode()).decode()
            if authorization != f"Basic {wanted}":
                headers = [("WWW-Authenticate", 'Basic realm="test"')]
                return self.answer(401, headers, b"authentication required\n")
        if options.redirect_to:
            return self.answer(301, [("Location", options.redirect_to.rstrip("/") + self.path)], b"")
        if options.html:
            return self.answer(200, [("Content-Type", "text/html")], b"<html><body>Welcome</body></html>")
        if options.shallow and self.command == "POST":
            lines = b"".join(b"0034shallow %040x" % number for number in range(options.shallow))
            return self.answer(200, [("Content-Type", "application/x-git-upload-pack-result")], lines + b"0000")
        if options.push == "cut-before" and self.is_pushed_to():
            return self.cut()
        return self.backend(body)

    def forge(self, body):
        """As Gitea answers: its version, and pull requests that are opened once."""
        path, _, _ = self.path.partition("?")
        if not path.startswith("/api/v1/"):
            return self.tell(404, {"message": "not found"})
        if self.headers.get("Authorization") != f"token {self.options.password}":
            return self.tell(401, {"message": "token is required"})
        if path == "/api/v1/version":
            return self.tell(200, {"version": "1.22.0"})
        if self.command == "PATCH" and "/pulls/" in path:
            Handler.pulls[int(path.rsplit("/", 1)[1]) - 1].update(json.loads(body))
            return self.tell(201, {})
        if not path.endswith("/pulls"):
            return self.tell(404, {"message": "not found"})
        if self.command == "GET":
            return self.tell(200, Handler.pulls)
        wanted = json.loads(body)
        if any(pull["head"]["ref"] == wanted["head"] for pull in Handler.pulls):
            return self.tell(409, {"message": "pull request already exists for these targets"})
        number, repository = len(Handler.pulls) + 1, {"id": 1, "full_name": path.split("/repos/")[1][: -len("/pulls")]}
        pull = {"number": number, "state": "open", "title": wanted["title"], "body": wanted["body"]}
        pull["html_url"] = f"http://{self.headers.get('Host')}/pulls/{number}"
        for side in ("head", "base"):
            pull[side] = {"ref": wanted[side], "repo": repository, "repo_id": 1}
        Handler.pulls.append(pull)
        return self.tell(201, pull)

    def tell(self, status, value):
        return self.answer(status, [("Content-Type", "application/json")], json.dumps(value).encode())

    def is_pushed_to(self):
        return self.command == "POST" and self.path.endswith("/git-receive-pack")

    def cut(self):
        """Dies before it says what became of it."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def backend(self, body):
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": os.path.abspath(self.options.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "3",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "uploadpack.allowAnySHA1InWant",
            "GIT_CONFIG_VALUE_1": "false" if self.options.tips_only else "true",
            "GIT_CONFIG_KEY_2": "http.receivepack",
            "GIT_CONFIG_VALUE_2": "true" if self.options.push else "false",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": self.client_address[0],
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, stdout=subprocess.PIPE, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        status, headers = 200, []
        for line in head.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(":")
            if name.lower() == "status":
                status = int(value.split()[0])
            elif name:
                headers.append((name, value.strip()))
        if self.options.push == "cut-after" and self.is_pushed_to():
            return self.cut()
        return self.answer(status if head else 500, headers, content)

    def answer(self, status, headers, content):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        # Of a pack alone: what is asked before it comes at once.
        while self.command == "POST" and self.options.drip and os.path.exists(self.options.drip):
            if len(content) > 1:
                self.wfile.write(content[:1])
                content = content[1:]
            time.sleep(0.2)
        self.wfile.write(content)


def relay(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    tls = None

    def handle_error(self, request, client_address):
        pass  # A client that hangs up, or does not trust the certificate, is often what is tested.


def end_with_stdin():
    # A shell starts background jobs with /dev/null as stdin: that is no closed pipe.
    if stat.S_ISCHR(os.fstat(0).st_mode):
        return
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


def end_with_parent(parent):
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=".", help="the folder that holds the repositories")
    parser.add_argument("--bind", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--delay", type=float, default=0, help="seconds before every answer")
    parser.add_argument("--log", help="one line a request: method path auth|anon host")
    parser.add_argument("--redirect-to", metavar="URL", help="answers 301 to URL + path")
    parser.add_argument("--html", action="store_true", help="answers a web page")
    parser.add_argument("--hang", dest="hang_after", action="store_const", const=0, help="never answers")
    parser.add_argument("--hang-after", type=int, metavar="N", help="never answers after N answers")
    parser.add_argument("--shallow", type=int, metavar="N", help="answers every fetch with N commits without parents")
    parser.add_argument("--drip", metavar="FILE", help="packs come byte by byte while this file exists")
    parser.add_argument(
        "--push",
        nargs="?",
        const="taken",
        choices=["taken", "cut-before", "cut-after"],
        help="takes what is pushed, or dies before or after it did; without it: read-only",
    )
    parser.add_argument("--forge", action="store_true", help="has Gitea's API for pull requests, with the password as token")
    parser.add_argument("--tips-only", action="store_true", help="refuses commits that no ref points at")
    Handler.options = parser.parse_args()

    server = Server((Handler.options.bind, Handler.options.port), Handler)
    if Handler.options.tls:
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.tls.load_cert_chain(*Handler.options.tls)
    threading.Thread(target=end_with_stdin, daemon=True).start()
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
