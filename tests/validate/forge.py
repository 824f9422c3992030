"""Stands for the APIs of GitHub and GitLab, as far as comments go. Its state is one JSON file, its log another."""
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

FOLDER = Path(sys.argv[1])
STATE, LOG, DENY = FOLDER / "comments.json", FOLDER / "log", FOLDER / "deny"


class Forge(BaseHTTPRequestHandler):
    def answer(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def act(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        with LOG.open("a") as log:
            log.write(f"{self.command} {path}\n")
        if self.headers.get("Authorization") != "Bearer t0ken" and self.headers.get("PRIVATE-TOKEN") != "t0ken":
            return self.answer(401, {})
        comments = json.loads(STATE.read_text())
        if path == "/user":
            return self.answer(200, {"id": 7})
        is_list = path.endswith(("/issues/5/comments", "/merge_requests/5/notes"))
        if self.command == "GET" and is_list:
            page, per = int(query["page"][0]), int(query["per_page"][0])
            return self.answer(200, comments[(page - 1) * per:page * per])
        if DENY.exists():
            return self.answer(403, {})
        text = json.loads(body)["body"]
        if self.command == "POST" and is_list:
            own = {"user": {"login": "github-actions[bot]"}, "author": {"id": 7}}
            comments.append({"id": 1000 + len(comments), "body": text, **own})
        elif self.command in ("PATCH", "PUT"):
            comment = next(c for c in comments if str(c["id"]) == path.rsplit("/", 1)[1])
            comment["body"] = text
        else:
            return self.answer(404, {})
        STATE.write_text(json.dumps(comments))
        self.answer(200, {})

    do_GET = do_POST = do_PUT = do_PATCH = act

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Forge)
print(server.server_port, flush=True)
server.serve_forever()
