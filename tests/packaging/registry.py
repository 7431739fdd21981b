"""A registry of npm packages on this machine: it has the packed ones, and sends for all others to the usual registry."""

from __future__ import annotations

import base64
import hashlib
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@contextmanager
def serve(tarballs: list[Path], upstream: str) -> Iterator[str]:
    """Serves the packages at the address that it gives."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    address = f"http://127.0.0.1:{server.server_port}"
    documents = dict(describe(tarball, address) for tarball in tarballs)
    files = {f"/{tarball.name}": tarball for tarball in tarballs}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(self.path)
            if path in files:
                self.answer(files[path].read_bytes(), "application/octet-stream")
            elif path.removeprefix("/") in documents:
                self.answer(json.dumps(documents[path.removeprefix("/")]).encode(), "application/json")
            else:
                self.send_response(302)
                self.send_header("Location", upstream.rstrip("/") + self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def answer(self, body: bytes, content_type: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield address
    server.shutdown()
    server.server_close()
    thread.join()


def describe(tarball: Path, address: str) -> tuple[str, dict[str, object]]:
    """A package's name and its document, as registries have it."""
    with tarfile.open(tarball) as archive:
        manifest = archive.extractfile("package/package.json")
        assert manifest is not None
        package = json.load(manifest)
    digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    version = package["version"]
    package["dist"] = {"tarball": f"{address}/{tarball.name}", "integrity": f"sha512-{digest}"}
    # Package managers may refuse what is only minutes old.
    time = "2020-01-01T00:00:00.000Z"
    return package["name"], {
        "name": package["name"],
        "dist-tags": {"latest": version},
        "versions": {version: package},
        "time": {"created": time, "modified": time, version: time},
    }
