"""What is measured: the workloads, their units, and the ratios to reach."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """One workload of the load generator."""

    name: str
    title: str
    # The figure of the load generator's report that servers are compared by, and its unit in the table.
    figure: str = "cpu_us"
    unit: str = "µs"
    # Seconds before the measured time. Connecting runs so much code so seldom that V8 needs longer to compile it.
    warm_up: float = 1.0
    # Further arguments of the server.
    arguments: tuple[str, ...] = ()


WORKLOADS = (
    Workload("echo", "echo with ack, 200 clients"),
    Workload("echo4", "echo, 64 clients, 4 outstanding"),
    Workload("echo1k", "echo of 1 KiB"),
    Workload("fixed", "echo at 4 000 per second"),
    Workload("oneway", "event without ack"),
    Workload("broadcast", "delivery of a broadcast to 500"),
    Workload("rooms", "delivery in a room of 10"),
    Workload("polling", "echo over long-polling"),
    Workload("connect", "WebSocket connect and leave", warm_up=4.0),
    Workload("upgrade", "polling, upgrade, echo, leave", warm_up=4.0),
    Workload("heartbeat", "heartbeat", arguments=("--ping-interval", "1")),
    Workload("idle", "idle connection", figure="rss_kib", unit="KiB"),
)

# The ratio of ferrio's figure to its peer's that must not be exceeded, by peer and workload; elsewhere NO_WORSE.
TARGETS = {
    ("socket.io", "echo"): 0.55,
    ("socket.io", "broadcast"): 0.5,
    ("python-socketio", "echo"): 0.15,
    ("python-socketio", "broadcast"): 0.12,
}
NO_WORSE = 1.0
