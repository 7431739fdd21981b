"""Workers that are forked from a process that serves, or has served."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from support.target import IS_FERRIO
from support.waiting import soon

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(not IS_FERRIO, reason="python-socketio has no port of its own")


@pytest.mark.parametrize("scenario", ["new", "same", "inside", "handler"])
async def test_workers_have_ids_of_their_own(scenario):
    """workers serve after a fork, each with ids of its own, and leave their parent's clients alone"""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.fork_script",
        scenario,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=HERE,
        env=dict(os.environ),
    )
    try:
        output, errors = await soon(process.communicate(), "the end of the program")
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, errors.decode()
    assert b"Traceback" not in errors, errors.decode()
    found = json.loads(output)
    for kind in found[0]:
        ids = [of_process[kind] for of_process in found]
        assert len(set(ids)) == len(ids), (kind, ids)
