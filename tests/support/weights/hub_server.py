"""A stand-in for the Hugging Face hub: the replies that huggingface_hub asks for."""

import contextlib
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.utils import _http

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves the files of repositories at ``http://localhost:PORT``.

    Attributes:
        files: contents by repository and name.
        asked: methods and paths of the requests.
        broken: whether every request fails with status 500.
        commit: of all repositories.
    """

    def __init__(self):
        self.files, self.asked, self.broken, self.commit = {}, [], False, COMMIT
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_HEAD(self):
                self.reply()

            def do_GET(self):
                self.reply()

            def reply(self):
                hub.asked.append((self.command, self.path))
                status, headers, body = hub.find(self.path)
                self.send_response(status)
                headers["Content-Length"] = str(len(body))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def log_message(self, format, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def find(self, path):
        """Status, headers and body of ``/OWNER/NAME/resolve/REVISION/FILE``."""
        if self.broken:
            return 500, {}, b""
        owner, name, _, revision, *parts = path.strip("/").split("/")
        repository = self.files.get(f"{owner}/{name}")
        if repository is None:
            return 401, {"X-Error-Code": "RepoNotFound"}, b""
        if revision not in ("main", "v1", self.commit):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        found = {"X-Repo-Commit": self.commit}
        body = repository.get("/".join(parts))
        if body is None:
            return 404, {"X-Error-Code": "EntryNotFound", **found}, b""
        return 200, {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', **found}, body

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@contextlib.contextmanager
def serving(monkeypatch, cache):
    """The stand-in as $HF_ENDPOINT, with a cache folder and no wait before a retry."""
    hub = Hub()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)
    yield hub
    huggingface_hub.close_session()
    hub.close()
