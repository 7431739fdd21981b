"""Reads the arguments, runs everything, and writes the results."""

import argparse
import json
import signal
import sys
from itertools import product
from types import FrameType
from typing import TypeVar

from comparison.machine import machine
from comparison.measure import FailedError, measure
from comparison.report import Results, number, report
from comparison.servers import OUT, SERVERS, MissingError, Server, cargo
from comparison.workloads import WORKLOADS, Workload

Named = TypeVar("Named", Server, Workload)


def main() -> int:
    """Run the comparison and return the exit status: 1 when a run failed."""
    options = arguments()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, interrupt)
    OUT.mkdir(exist_ok=True)
    try:
        cargo("ferrio-load")
        servers = ready(chosen(SERVERS, options.servers))
        workloads = chosen(WORKLOADS, options.only)
        return compare(servers, workloads, options)
    except MissingError as missing:
        say(f"the load generator: {missing}")
    except KeyboardInterrupt:
        say("interrupted; every server is ended")
    return 1


def arguments() -> argparse.Namespace:
    """Read the command line."""
    names = ", ".join
    parser = argparse.ArgumentParser(prog="bench/run", description="Compare what the servers cost.")
    parser.add_argument("--only", type=listed, help=f"workloads: {names(one.name for one in WORKLOADS)}")
    parser.add_argument("--servers", type=listed, help=f"servers: {names(one.name for one in SERVERS)}")
    parser.add_argument("--repeats", type=int, help="runs of each (3; quick: 1)")
    parser.add_argument("--seconds", type=float, help="measured time of a run (3; quick: 1)")
    parser.add_argument("--quick", action="store_true", help="one short run of each, for a first look")
    options = parser.parse_args()
    for given, known in ((options.only, WORKLOADS), (options.servers, SERVERS)):
        unknown = set(given or ()) - {one.name for one in known}
        if unknown:
            parser.error(f"unknown: {names(sorted(unknown))}; there are {names(one.name for one in known)}")
    options.repeats = options.repeats or (1 if options.quick else 3)
    options.seconds = options.seconds or (1.0 if options.quick else 3.0)
    return options


def listed(text: str) -> list[str]:
    """Split a list with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def chosen(all_of_them: tuple[Named, ...], names: list[str] | None) -> list[Named]:
    """Keep what was asked for, in the usual order."""
    return [one for one in all_of_them if names is None or one.name in names]


def ready(servers: list[Server]) -> list[Server]:
    """Build what is needed; a server that cannot be built is named and left out."""
    built = []
    for server in servers:
        try:
            server.prepare()
            built.append(server)
        except MissingError as missing:
            say(f"{server.name} is left out: {missing}")
    return built


def compare(servers: list[Server], workloads: list[Workload], options: argparse.Namespace) -> int:
    """Run every workload on every server in turn, so that the machine's moods meet all of them alike."""
    results: Results = {}
    failures: list[str] = []
    where = machine()
    for workload in workloads:
        able = [server for server in servers if workload.name not in server.lacks]
        for repeat, server in product(range(options.repeats), able):
            label = f"{workload.name} {repeat + 1}/{options.repeats} {server.name}"
            warm_up = workload.warm_up / 2 if options.quick else workload.warm_up
            try:
                run = measure(server, workload, options.seconds, warm_up)
            except FailedError as failed:
                failures.append(f"{label}: {failed}")
                say(failures[-1])
                continue
            results.setdefault((server.name, workload.name), []).append(run)
            say(f"{label}: {number(run[workload.figure])} {workload.unit}")

    tables = report(results, servers, workloads, options.repeats)
    write(results, where, failures, tables)
    print(tables)
    for failure in failures:
        print(f"FAILED {failure}")
    return 1 if failures else 0


def write(results: Results, where: dict[str, object], failures: list[str], tables: str) -> None:
    """Keep the figures for later."""
    runs = [{"server": server, **run} for (server, _), several in results.items() for run in several]
    everything = {"machine": where, "runs": runs, "failures": failures}
    (OUT / "results.json").write_text(json.dumps(everything, indent=2) + "\n")
    (OUT / "results.md").write_text(tables)
    say(f"written: {OUT / 'results.json'} and {OUT / 'results.md'}")


def say(text: str) -> None:
    """Tell how it goes, beside the tables."""
    print(text, file=sys.stderr, flush=True)


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    """End in the same way as at Ctrl-C."""
    raise KeyboardInterrupt
