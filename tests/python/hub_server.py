"""A hub on localhost: as much of the Hugging Face hub's HTTP as huggingface_hub speaks.

Models are plain dicts of files. Large files (here: of the endings that the hub stores apart) are
sent by a redirect and declared with their SHA-256, others with Git's SHA-1 of a blob.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

APART = (".safetensors", ".bin", ".onnx", ".params")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Model:
    """One repository: files by commit, commits by branch or tag, and who may read it."""

    refs: dict[str, str]
    commits: dict[str, dict[str, bytes]]
    refusal: tuple[int, str] | None = None  # HTTP status, the hub's code of the error


@dataclass
class HubServer:
    """Serves ``models`` until it is closed; ``seen`` collects (method, path, user agent)."""

    models: dict[str, Model]
    spoilt: dict[str, bytes] = field(default_factory=dict)  # by file, what is sent instead
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    def __enter__(self) -> HubServer:
        hub = self

        class Handler(_Handler):
            server_state = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    server_state: HubServer
    protocol_version = "HTTP/1.0"  # one request a connection, so that a closed hub is silent

    def do_HEAD(self) -> None:  # noqa: N802
        self._answer()

    def do_GET(self) -> None:  # noqa: N802
        self._answer()

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self) -> None:
        hub, path = self.server_state, unquote(urlsplit(self.path).path)
        hub.seen.append((self.command, path, self.headers.get("User-Agent", "")))
        if found := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(\w+)/(.+)", path):
            name, commit, file = found.groups()
            return self._send_file(hub.models[name].commits[commit][file], file, {})
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path)
        resolve = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if not api and not resolve:
            return self._refuse(404, "NotFound")
        name, revision = (api or resolve).group(1, 2)
        model, revision = hub.models.get(name), revision or "main"
        if model is None:
            # To strangers the real hub does not tell whether a model is private or not there.
            return self._refuse(401, "RepoNotFound")
        if model.refusal:
            return self._refuse(*model.refusal)
        commit = model.refs.get(revision, revision)
        if commit not in model.commits:
            return self._refuse(404, "RevisionNotFound")
        files = model.commits[commit]
        if api:
            return self._send(200, json.dumps(_listing(name, commit, files)).encode(), {})
        file = resolve[3]
        if file not in files:
            return self._refuse(404, "EntryNotFound", {"X-Repo-Commit": commit})
        headers = {"X-Repo-Commit": commit}
        if not file.endswith(APART):
            return self._send_file(files[file], file, {**headers, "ETag": git_sha1(files[file])})
        headers["X-Linked-ETag"] = f'"{sha256(files[file])}"'
        headers["X-Linked-Size"] = str(len(files[file]))
        # Another host than the hub's, as in life: redirects inside the hub are followed at once.
        store = hub.endpoint.replace("127.0.0.1", "localhost")
        headers["Location"] = f"{store}/cdn/{name}/{commit}/{file}"
        return self._send(302, b"", headers)

    def _send_file(self, data: bytes, file: str, headers: dict[str, str]) -> None:
        data = self.server_state.spoilt.get(file, data)
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not part:
            return self._send(200, data, {**headers, "Accept-Ranges": "bytes"})
        first, last = int(part[1]), int(part[2] or len(data) - 1)
        headers = {**headers, "Content-Range": f"bytes {first}-{last}/{len(data)}"}
        return self._send(206, data[first : last + 1], headers)

    def _refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        told = {"X-Error-Code": code, "X-Error-Message": f"{code}.", **(headers or {})}
        self._send(status, b"{}", told)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _listing(name: str, commit: str, files: dict[str, bytes]) -> dict[str, object]:
    siblings = []
    for file, data in files.items():
        entry = {"rfilename": file, "size": len(data), "blobId": git_sha1(data)}
        if file.endswith(APART):
            entry["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
        siblings.append(entry)
    return {"id": name, "sha": commit, "private": False, "tags": [], "siblings": siblings}
