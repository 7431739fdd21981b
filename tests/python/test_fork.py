"""Workers that are forked from a process that serves, or has served."""

from __future__ import annotations

import json

import pytest

from support.programs import run_program
from support.target import IS_FERRIO

pytestmark = pytest.mark.skipif(not IS_FERRIO, reason="python-socketio has no port of its own")


@pytest.mark.parametrize("scenario", ["new", "same", "inside", "handler"])
async def test_workers_have_ids_of_their_own(scenario):
    """workers serve after a fork, each with ids of its own, and leave their parent's clients alone"""
    status, output, errors = await run_program("fork_script", scenario)
    assert status == 0, errors.decode()
    assert b"Traceback" not in errors, errors.decode()
    found = json.loads(output)
    for kind in found[0]:
        ids = [of_process[kind] for of_process in found]
        assert len(set(ids)) == len(ids), (kind, ids)
