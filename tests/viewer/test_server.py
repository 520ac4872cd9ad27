"""The server as others on this machine and other sites in its browser meet it."""

import http.client
import json
import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lidistill.viewer.page import built_page, script_hashes, with_source
from lidistill.viewer.saving import Saver
from lidistill.viewer.server import MAX_BODY, application, new_token
from lidistill.viewer.serving import PatientProtocol, build_server, hosts_of, listen

UNTOLD = "a line that no answer may hold"


@dataclass(frozen=True)
class Running:
    port: int
    token: str
    folder: Path

    def ask(self, path, *, method="GET", body=None, **headers):
        """Status, headers and body of an answer; {T} stands for the token."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.putrequest(
            method, path.replace("{T}", self.token), skip_host="Host" in named,
            skip_accept_encoding=True,
        )  # fmt: skip
        for name, value in named.items():
            connection.putheader(name, value.replace("{P}", str(self.port)))
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()

    def post(self, name, values, **headers):
        body = values if isinstance(values, bytes) else json.dumps(values).encode()
        headers = {"Content_Type": "application/json"} | headers
        return self.ask(f"/{{T}}/{name}", method="POST", body=body, **headers)

    def raw(self, content, *, wait=5.0):
        """What comes back to some bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as one:
            one.sendall(content.replace(b"{T}", self.token.encode()))
            try:
                return one.recv(1 << 16)
            except (TimeoutError, ConnectionError):
                return b""

    def works(self):
        return self.ask("/{T}/manifest")[0] == 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder to save in, with something beside it that nobody may read."""
    root = tmp_path_factory.mktemp("served")
    (root / "secret.txt").write_text(UNTOLD)
    return root / "out"


@pytest.fixture(scope="module")
def running(content, folder):
    one, token = listen(0), new_token()
    page = with_source('<html><script id="lidistill-data"></script></html>', "server")
    app = application(content, Saver(content, folder), page, token=token, hosts=hosts_of(one))
    server = build_server(app, http=Quick)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [one]}, daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not server.started and time.monotonic() < end:
        time.sleep(0.01)
    yield Running(one.getsockname()[1], token, folder)
    server.should_exit = True
    thread.join(timeout=10)
    assert not thread.is_alive()


class Quick(PatientProtocol):
    patience = 0.5


def test_the_page_asks_for_what_the_content_holds(running, content):
    status, headers, body = running.ask("/{T}/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b'lidistill_source="server";' in body
    assert json.loads(running.ask("/{T}/manifest")[2])["title"] == "<b>tiny</b>"
    for name in ("frame/0", "features/0/head/1", "predictions/1/2", "image/3/0", "head/0/head"):
        status, headers, body = running.ask(f"/{{T}}/{name}", Host="localhost:{P}")
        assert (status, body) == (200, content.get(name).content)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_the_page_may_load_itself_and_nothing_else(running):
    policy = running.ask("/{T}/")[1]["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    page = running.ask("/{T}/")[2].decode()
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'sha256-{script_hashes(page)[0]}'"
    assert rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert "unsafe-eval" not in policy


def test_labels_and_heads_are_saved_below_the_folder(running):
    origin = {"Origin": "http://127.0.0.1:{P}", "Sec_Fetch_Site": "same-origin"}
    status, _, body = running.post("labels", {"frame": 0, "class": "car", "points": [3]}, **origin)
    saved = Path(json.loads(body)["path"])
    assert (status, saved.parent.parent) == (200, running.folder)
    assert np.load(saved)[3] == 0
    head = {"model": 1, "space": "backbone", "classes": ["other", "car"], "bias": [0, 0]}
    dims = json.loads(running.ask("/{T}/manifest")[2])["models"][1]["spaces"][0]["dims"]
    status, _, body = running.post("head", head | {"weights": [[0] * dims, [1] * dims]})
    assert (status, Path(json.loads(body)["path"]).name) == (200, "car.head.json")
    status, _, body = running.post("labels", {"frame": 99, "class": "car", "points": []})
    assert (status, list(json.loads(body))) == (422, ["error"])


PATHS = [
    "/", "/manifest", "/frame/0", "/labels", "/{T}", "//{T}/", "/{T}x/", "/x/{T}/manifest",
    "/{T}/../manifest", "/{T}/..%2f..%2fsecret.txt", "/{T}/../secret.txt", "/{T}/../../secret.txt",
    "/{T}/%2e%2e/secret.txt", "/{T}/%2e%2e%2fsecret.txt", "/{T}//etc/passwd",
    "/{T}/%2fetc%2fpasswd",
    "/{T}/image/0/..%2f..", "/{T}/image/0/0/../../../secret.txt", "/{T}/..\\secret.txt",
    "/{T}/frame/0%00", "/{T}/frame/%ff", "/{T}/frame/" + 3000 * "9", "/{T}/" + 5000 * "a",
    "/{T}/features/0/head/0/../../../../secret.txt", "/{T}/index.html", "/{T}/.git/config",
    "/{T}/file:///etc/passwd", "/{T}/frame/0?x=../../secret.txt&y=" + 500 * "z", "/{t}/manifest",
    "/%7BT%7D/manifest", "/{T}/frame/-1", "/{T}/frame/0/", "/{T}/features/0/__class__/0",
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(PATHS)))
def test_no_path_leads_out(running, number):
    status, _, body = running.ask(PATHS[number])
    queried = "?x=" in PATHS[number]
    assert status == 200 if queried else status in {307, 404, 405}, PATHS[number][:60]
    assert UNTOLD.encode() not in body
    assert b"root:" not in body
    assert running.works()


FOREIGN = [
    {"Host": "evil.example"}, {"Host": "evil.example:{P}"}, {"Host": "127.0.0.1"},
    {"Host": "127.0.0.1:1"}, {"Host": "[::1]:{P}"}, {"Host": "127.0.0.1.evil.example:{P}"},
    {"Host": ""}, {"Host": "127.0.0.1:{P}@evil.example"}, {"Origin": "http://evil.example"},
    {"Origin": "null"}, {"Origin": "https://127.0.0.1:{P}"}, {"Origin": "http://127.0.0.1:80"},
    {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"},
]  # fmt: skip


@pytest.mark.parametrize("headers", FOREIGN)
def test_other_sites_and_other_hosts_are_refused_even_with_the_token(running, headers):
    before = saved_in(running.folder)
    assert running.ask("/{T}/manifest", **headers)[0] in {400, 403, 421}
    values = {"frame": 1, "class": "evil", "points": [1]}
    assert running.post("labels", values, **headers)[0] in {400, 403, 421}
    assert saved_in(running.folder) == before
    assert running.works()


def saved_in(folder):
    return sorted(path.as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"{", 400), (b"\xff\xfe", 400), (b"[" * 200_000, 400), (b"null", 422),
        (b'{"frame": 1e400}', 422), (b'{"frame": 0, "class": "x", "points": [1e9]}', 422),
        (json.dumps({"frame": 0, "class": "../../x", "points": [], "path": "/x"}).encode(), 422),
    ],
)  # fmt: skip
def test_bodies_that_say_nothing_are_one_line(running, body, status):
    before = saved_in(running.folder)
    for name in ("labels", "head", "query"):
        found, _, answer = running.post(name, body)
        assert found == status
        assert "\n" not in json.loads(answer)["error"]
    assert saved_in(running.folder) == before


def test_a_class_name_is_no_path(running):
    values = {"frame": 0, "class": "../../x<script>", "points": [1]}
    assert running.post("labels", values)[0] == 200
    outside = {path.name for path in running.folder.parent.iterdir()}
    assert outside == {"out", "secret.txt"}


def test_giant_bodies_are_refused_before_they_are_read(running):
    head = b"POST /{T}/labels HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % running.port
    kind = b"Content-Type: application/json\r\n"
    told = b"Content-Length: %d\r\n\r\n"
    for size in (MAX_BODY + 1, 10**19):
        assert b" 413 " in running.raw(head + kind + told % size).split(b"\r\n")[0]
    piece = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as one:
        chunked = head + kind + b"Transfer-Encoding: chunked\r\n\r\n"
        one.sendall(chunked.replace(b"{T}", running.token.encode()))
        sent = 0
        try:
            while sent <= 4 * MAX_BODY:
                one.sendall(piece)
                sent += 1 << 16
        except OSError:  # it has hung up
            pass
    assert sent <= 4 * MAX_BODY
    assert running.post("labels", {}, Content_Type="text/plain")[0] == 415
    assert running.works()


def test_bytes_that_are_no_http_end_the_connection(running):
    for content in (
        b"\x16\x03\x01\x02\x00\x01", os.urandom(500), b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
        b"GET /{T}/ HTTP/1.1\r\nX: " + 1_000_000 * b"a" + b"\r\n\r\n",
        b"POST /{T}/labels HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"GET /{T}/manifest HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ):  # fmt: skip
        answer = running.raw(content, wait=3)
        assert b" 200 " not in answer.split(b"\r\n")[0]
        assert running.works()


def test_clients_that_say_nothing_are_hung_up_on(running):
    silent = [socket.create_connection(("127.0.0.1", running.port), timeout=5) for _ in range(40)]
    try:
        for number, one in enumerate(silent):
            one.sendall(b"GET /x HTTP/1.1\r\nA: "[: number % 12])
        assert running.works()
        begin = time.monotonic()
        assert {ends(one) for one in silent} == {True}
        assert time.monotonic() - begin < 4
    finally:
        for one in silent:
            one.close()


def ends(one):
    try:
        return one.recv(1) == b""
    except ConnectionResetError:
        return True


def test_slow_bodies_are_given_up(running, monkeypatch):
    monkeypatch.setattr("lidistill.viewer.server.PATIENCE", 0.3)
    head = b"POST /{T}/labels HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % running.port
    rest = b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    assert b" 408 " in running.raw(head + rest).split(b"\r\n")[0]


def test_somebody_who_leaves_early_breaks_nothing(running):
    for _ in range(20):
        one = socket.create_connection(("127.0.0.1", running.port))
        request = f"GET /{running.token}/frame/0 HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n\r\n"
        one.sendall(request.encode())
        one.close()
    assert running.works()


def test_the_server_listens_on_this_machine_alone(running):
    one = listen(0)
    assert one.getsockname()[0] == "127.0.0.1"
    one.close()
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 32


def test_the_built_page_is_read_once_it_is_there(page):
    assert "lidistill-data" in built_page()
