"""Writes the wire vectors as files, for the fuzzer to start from: seeds.py VECTORS FOLDER"""

import json
import sys
from pathlib import Path


def wire(case: dict) -> bytes:
    return bytes.fromhex(case["hex"]) if "hex" in case else case["text"].encode()


def write(folder: Path, seeds: list[bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (folder / f"vector-{number}").write_bytes(seed)


def main(vectors: Path, folder: Path) -> None:
    def cases(name: str) -> list[dict]:
        return json.loads((vectors / f"{name}.json").read_text(encoding="utf-8"))

    payloads = cases("payloads")
    # The first byte tells the target which form the body has.
    v3 = [
        bytes([1 if case.get("is_binary") else 0]) + wire(case) for case in payloads if case["protocol"] == 3
    ]
    write(folder / "engine_packet", [wire(case) for case in cases("engine_packets")])
    write(folder / "payload_v3", v3)
    write(folder / "payload_v4", [wire(case) for case in payloads if case["protocol"] == 4])
    write(folder / "socket_packet", [wire(case) for case in cases("socket_packets")])
    write(folder / "msgpack", [wire(case) for case in cases("msgpack_packets")])
    # Bytes are operations there: a heartbeat, an upgrade, and a silence.
    write(folder / "session", [b"\x00\xf0\x08\xf0\xf0", b"\x00\x80\x07\x11\x0c\xf0", b"\x01\x04\xd9"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
