"""A registry on this machine, with the packages of the native libraries as they would be published."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@contextmanager
def serve_registry(root: Path, tarball: Path, platform: str) -> Iterator[str]:
    """Serves the description of every platform's package, and the package itself of one. Gives its address."""
    version = json.loads((root / "package.json").read_text())["version"]
    platforms = json.loads((root / "scripts/release/platforms.json").read_text())
    packed = tarball.read_bytes()
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(packed).digest()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(self.path)
            if path == f"/{tarball.name}":
                self.answer(packed, "application/octet-stream")
                return
            name = path.removeprefix("/@ferrio/")
            if name not in platforms:
                self.send_error(404)
                return
            answer = describe(name, f"http://{self.headers['Host']}/{tarball.name}")
            self.answer(json.dumps(answer).encode(), "application/json")

        def answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    def describe(name: str, address: str) -> dict[str, object]:
        """What a registry says of a package. npm must see from it that it does not need those of other platforms."""
        wanted = platforms[name]
        manifest = {
            "name": f"@ferrio/{name}",
            "version": version,
            **{key: [wanted[key]] for key in ("os", "cpu", "libc") if key in wanted},
            "dist": {"tarball": address, "integrity": integrity}
            if name == platform
            else {"tarball": f"{address}-of-another-platform"},
        }
        return {"name": f"@ferrio/{name}", "dist-tags": {"latest": version}, "versions": {version: manifest}}

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()
