"""Turns the figures of all runs into tables."""

from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

from comparison.servers import Server
from comparison.workloads import NO_WORSE, TARGETS, Workload

# All runs that gave figures, by server and workload.
Results = dict[tuple[str, str], list[dict[str, Any]]]

NOTHING = "-"


def middle(results: Results, server: str, workload: str, figure: str) -> float | None:
    """Return the median of one figure."""
    figures = [run[figure] for run in results.get((server, workload), []) if run.get(figure) is not None]
    return median(figures) if figures else None


def report(results: Results, servers: list[Server], workloads: list[Workload], repeats: int) -> str:
    """Write everything as Markdown."""
    names = [server.name for server in servers]
    ferrios = [server for server in servers if server.peer]

    def cost(workload: Workload, name: str) -> str:
        return number(middle(results, name, workload.name, workload.figure))

    def throughput(workload: Workload, name: str) -> str:
        return number(middle(results, name, workload.name, "per_second"))

    def latency(workload: Workload, name: str) -> str:
        ends = (middle(results, name, workload.name, figure) for figure in ("p50_us", "p99_us"))
        milliseconds = [end / 1000 if end is not None else None for end in ends]
        return " / ".join(map(number, milliseconds)) if None not in milliseconds else NOTHING

    timed = [workload for workload in workloads if workload.figure == "cpu_us"]
    asked = [workload for workload in timed if workload.name != "heartbeat"]
    parts = [
        section(
            f"Server CPU or memory for one unit (median of {repeats})", workloads, names, cost, with_unit=True
        ),
        section("Units per second", timed, names, throughput),
        section("Latency in ms, p50 / p99", asked, names, latency),
    ]
    if ferrios:
        columns = [server.name for server in ferrios]
        by_name = {server.name: server for server in ferrios}
        parts.insert(
            1,
            section(
                "ferrio ÷ its peer, and the most that it may be",
                workloads,
                columns,
                lambda workload, name: verdict(results, by_name[name], workload),
            ),
        )
        if "limit" in names:
            parts.insert(
                2,
                section(
                    "ferrio ÷ limit",
                    workloads,
                    columns,
                    lambda workload, name: number(ratio(results, name, "limit", workload)),
                ),
            )
    return "\n\n".join(parts) + "\n"


def ratio(results: Results, name: str, other: str, workload: Workload) -> float | None:
    """Return how many times the other server's cost this one has."""
    own = middle(results, name, workload.name, workload.figure)
    others = middle(results, other, workload.name, workload.figure)
    return own / others if own is not None and others else None


def verdict(results: Results, server: Server, workload: Workload) -> str:
    """Write a ratio, its bound, and whether it is kept."""
    target = TARGETS.get((server.peer or "", workload.name), NO_WORSE)
    bound = target if server.has_targets else NO_WORSE
    value = ratio(results, server.name, server.peer or "", workload)
    if value is None:
        return NOTHING
    return f"{value:.2f} ≤ {bound:.2f}" if value <= bound else f"{value:.2f} > {bound:.2f} MISSED"


def section(
    title: str,
    workloads: list[Workload],
    columns: list[str],
    cell: Callable[[Workload, str], str],
    *,
    with_unit: bool = False,
) -> str:
    """Write one table with a row for each workload."""
    rows = [["", *columns]]
    for workload in workloads:
        label = f"{workload.title}, {workload.unit}" if with_unit else workload.title
        rows.append([label, *(cell(workload, column) for column in columns)])
    return f"### {title}\n\n{table(rows)}"


def table(rows: list[list[str]]) -> str:
    """Align the cells of a Markdown table; the first row is its head."""
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]

    def line(cells: Iterable[str]) -> str:
        first, *rest = cells
        padded = [
            first.ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)),
        ]
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * widths[0]}", *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    return "\n".join([line(rows[0]), line(rule), *(line(row) for row in rows[1:])])


def number(value: float | None) -> str:
    """Write three significant digits."""
    if value is None:
        return NOTHING
    if value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
