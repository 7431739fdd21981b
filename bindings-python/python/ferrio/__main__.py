"""`python -m ferrio module:app`: uvicorn's own command line, with Socket.IO's connections in the core's hands."""

from __future__ import annotations

import sys


def main() -> None:
    """Starts uvicorn with the arguments of the command line."""
    import uvicorn

    uvicorn.main([*sys.argv[1:], "--ws", "ferrio.uvicorn:WebSocketProtocol"], prog_name="ferrio")


if __name__ == "__main__":
    main()
