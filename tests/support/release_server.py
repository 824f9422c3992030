#!/usr/bin/env python3
"""A release server on loopback: what the API and the downloads of a code host answer, with faults on demand.

Below --root: `api/repos/OWNER/NAME/releases/latest` and `downloads/vX.Y.Z/ASSET`. A download is answered by a redirect
first, as on the real one. Beside a file, `FILE.breaks` lets the connection end half-way, and `FILE.stalls` lets it stand
still half-way. The first line on stdout is the port; it ends when its stdin closes.
"""

import argparse
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        with open(self.server.options.log, "a") as log:
            log.write(self.path + "\n")
        path = self.path.lstrip("/")
        if path.startswith("downloads/"):
            self.send_response(302)
            self.send_header("Location", "/objects/" + path[len("downloads/"):])
            self.end_headers()
            return
        self.send_file(os.path.join(self.server.options.root, path.replace("objects/", "downloads/", 1)))

    def send_file(self, path):
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        faulty = [fault for fault in ("breaks", "stalls") if os.path.exists(path + "." + fault)]
        self.wfile.write(content[: len(content) // 2] if faulty else content)
        if "stalls" in faulty:
            self.wfile.flush()
            open(path + ".stalls-now", "w").close()
            time.sleep(60)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True)
    parser.add_argument("--log", required=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.options = parser.parse_args()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


main()
