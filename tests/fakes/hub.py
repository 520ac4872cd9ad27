"""A hub on this machine: as much of Hugging Face's HTTP interface as push and load need.

Uploads of whole files (in the commit, or beside it as git LFS has it), and downloads by revision.
"""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_test"  # noqa: S105  of this hub alone


class Hub:
    """What the hub holds: the files of every repository, by revision."""

    def __init__(self):
        self.commits = {}  # name -> list of (oid, {path: bytes})
        self.large = {}  # sha256 -> bytes
        self.requests = []
        self.address = ""

    def files(self, name, revision="main"):
        commits = self.commits[name]
        if revision == "main":
            return commits[-1]
        return next(one for one in commits if one[0] == revision)


class _Server(ThreadingHTTPServer):
    hub: Hub


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def _answer(self, value, status=200, headers=()):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for key, text in (("Content-Length", str(len(body))), *headers):
            self.send_header(key, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _missing(self, code):
        self._answer({"error": code}, 404, (("X-Error-Code", code),))

    def _body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _parts(self):
        path = unquote(urlsplit(self.path).path)
        self.server.hub.requests.append(f"{self.command} {path}")
        return path.strip("/").split("/")

    def do_POST(self):
        hub, parts, body = self.server.hub, self._parts(), self._body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer({"error": "who are you?"}, 401)
        elif parts == ["api", "repos", "create"]:
            wanted = json.loads(body)
            name = f"{wanted['organization']}/{wanted['name']}"
            if name in hub.commits:
                self._answer({"error": "exists", "url": f"{hub.address}/{name}"}, 409)
                return
            hub.commits[name] = []
            self._answer({"url": f"{hub.address}/{name}", "id": name})
        elif parts == ["api", "validate-yaml"]:
            self._answer({"errors": [], "warnings": []})
        elif parts[-2:] == ["objects", "batch"]:
            objects = [
                one | {"actions": {"upload": {"href": f"{hub.address}/large/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            self._answer({"transfer": "basic", "objects": objects})
        elif parts[4:5] == ["preupload"]:
            files = [
                {"path": one["path"], "uploadMode": _mode(one["path"]), "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]
            self._answer({"files": files})
        elif parts[4:5] == ["commit"]:
            self._commit("/".join(parts[2:4]), [json.loads(line) for line in body.splitlines()])
        else:
            self._missing("EntryNotFound")

    def do_PUT(self):
        hub, parts, body = self.server.hub, self._parts(), self._body()
        assert hashlib.sha256(body).hexdigest() == parts[1]
        hub.large[parts[1]] = body
        self._answer({})

    def _commit(self, name, lines):
        hub = self.server.hub
        files = dict(hub.commits[name][-1][1]) if hub.commits[name] else {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                assert value["encoding"] == "base64"
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = hub.large[value["oid"]]
        oid = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()  # noqa: S324  as git has it
        hub.commits[name].append((oid, files))
        self._answer({"commitUrl": f"{hub.address}/{name}/commit/{oid}", "commitOid": oid})

    def do_GET(self):
        hub, parts = self.server.hub, self._parts()
        name = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        if not hub.commits.get(name):
            self._missing("RepoNotFound")
            return
        oid, files = hub.files(name, parts[5 if parts[0] == "api" else 3])
        if parts[0] == "api" and parts[4] == "tree":
            self._answer([_entry(path, data) for path, data in files.items()])
        elif parts[0] == "api":
            about = {"id": name, "sha": oid, "siblings": [{"rfilename": path} for path in files]}
            self._answer(about)
        elif "/".join(parts[4:]) not in files:
            self._missing("EntryNotFound")
        else:
            data = files["/".join(parts[4:])]
            etag = (("ETag", f'"{hashlib.sha256(data).hexdigest()}"'), ("X-Repo-Commit", oid))
            self._answer(data, headers=etag)

    do_HEAD = do_GET


def _mode(path):
    return "lfs" if path.endswith(".safetensors") else "regular"


def _entry(path, data):
    return {
        "type": "file",
        "path": path,
        "size": len(data),
        "oid": hashlib.sha256(data).hexdigest(),
    }


@contextmanager
def running_hub():
    """A hub that answers on this machine alone, until the end of the block."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.hub = Hub()
    server.hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
