"""A registry on this machine, with the npm packages as they would be published."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote


@contextmanager
def serve_registry(root: Path, tarballs: list[Path], upstream: str | None = None) -> Iterator[str]:
    """
    Serves the packed packages, and for each platform whose own is not among them one without a library. What else it
    is asked for is at the registry `upstream`. Gives its address.
    """
    packages = dict(map(unpack, [*empty_packages(root), *[tarball.read_bytes() for tarball in tarballs]]))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = unquote(self.path).removeprefix("/")
            if name in packages:
                document = describe(packages[name], f"http://{self.headers['Host']}/{name}.tgz")
                self.answer(json.dumps(document).encode(), "application/json")
            elif name.removesuffix(".tgz") in packages:
                self.answer(packages[name.removesuffix(".tgz")]["packed"], "application/octet-stream")
            elif upstream is not None:
                self.send_response(302)
                self.send_header("Location", upstream.rstrip("/") + self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.send_error(404)

        def answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def empty_packages(root: Path) -> Iterator[bytes]:
    """
    The platforms' packages as their descriptions are. npm must see from these that it does not need those of other
    platforms; Yarn's first generation fetches them all the same.
    """
    version = json.loads((root / "package.json").read_text())["version"]
    platforms = json.loads((root / "scripts/release/platforms.json").read_text())
    for name, wanted in platforms.items():
        limits = {key: [wanted[key]] for key in ("os", "cpu", "libc") if key in wanted}
        manifest = json.dumps({"name": f"@ferrio/{name}", "version": version, **limits}).encode()
        file = tarfile.TarInfo("package/package.json")
        file.size = len(manifest)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            archive.addfile(file, io.BytesIO(manifest))
        yield packed.getvalue()


def unpack(packed: bytes) -> tuple[str, dict[str, Any]]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        file = archive.extractfile("package/package.json")
        assert file is not None
        manifest = json.load(file)
    return manifest["name"], {"manifest": manifest, "packed": packed}


def describe(package: dict[str, Any], address: str) -> dict[str, Any]:
    """What a registry says of a package."""
    manifest, packed = package["manifest"], package["packed"]
    version = manifest["version"]
    dist = {
        "tarball": address,
        "shasum": hashlib.sha1(packed).hexdigest(),
        "integrity": f"sha512-{base64.b64encode(hashlib.sha512(packed).digest()).decode()}",
    }
    # Package managers may refuse what is only minutes old.
    time = "2020-01-01T00:00:00.000Z"
    return {
        "name": manifest["name"],
        "dist-tags": {"latest": version},
        "versions": {version: {**manifest, "dist": dist}},
        "time": {"created": time, "modified": time, version: time},
    }
