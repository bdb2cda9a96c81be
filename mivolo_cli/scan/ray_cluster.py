"""Connect to a Ray cluster or start one, and query its resources."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import warnings
from dataclasses import dataclass
from typing import Any

from ..errors import BadInput, Stopped
from .options import ScanOptions

PATIENCE = 900.0
"""Seconds without progress after which a window is given up. Decoding risky photos takes up to a
minute each."""
GO_ON = "`ray status` shows its machines; run the same command again to resume"
CHECK_ADDRESS = "check --ray-address; without it, --ray starts a cluster on this machine"
REACHED_SECONDS = 5.0
INSTALL = "pip install 'mivolo-cli[ray]', on every machine of the cluster"


@dataclass(frozen=True, slots=True)
class Pool:
    """Number of actors of a stage, and the resources of each."""

    actors: int
    cores: float
    gpus: float = 0.0


def connect(options: ScanOptions) -> bool:
    """Connect to the cluster or start one; return whether to disconnect afterwards. Raises
    BadInput."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise BadInput("--ray needs the package ray", hint=INSTALL) from error
    _be_quiet()
    if ray.is_initialized():
        return False
    _require_reachable(options.ray_address)
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its warnings would go to the terminal
    ours: dict[str, Any] = {}
    if options.ray_address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Without a token, Ray would store one in the home folder.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        ours = {
            "num_cpus": options.inference.workers,
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
        }
    try:
        ray.init(
            options.ray_address or "local", log_to_driver=False, logging_level=logging.ERROR, **ours
        )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise BadInput(
            f"cannot connect to a Ray cluster: {_last_line(error)}", hint=CHECK_ADDRESS
        ) from error
    return True


def _require_reachable(address: str | None) -> None:
    """Check the address first, since Ray would retry for minutes and print errors. Raises
    BadInput."""
    host, separator, port = (address or "").removeprefix("ray://").rpartition(":")
    if not separator:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACHED_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise BadInput(
            f"cannot connect to a Ray cluster: nothing answers at {address}", hint=CHECK_ADDRESS
        ) from error


def _be_quiet() -> None:
    """Disable progress bars, warnings and log output on the terminal; Ray logs to a folder of its
    own.

    The warnings concern options that Ray sets itself, idle actors, and the retry parameters: Ray
    deprecates these, but would retry crashing work forever without them.
    """
    from ray.data import DataContext

    warnings.filterwarnings("ignore", module=r"ray\.")
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = PATIENCE
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)


def reading_cores() -> float:
    """Return the cores reserved by a decoding task: half a core, so that there are as many tasks as
    cores, because tasks also wait and the actors hold the other half."""
    return min(0.5, smallest() / 2)


def all_cores() -> float:
    return sum(_machines())


def smallest() -> float:
    return min(_machines())


def _machines() -> list[float]:
    """Return the number of cores of each machine. Raises Stopped if there are none."""
    import ray

    cores = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
    if not any(cores):
        raise Stopped(
            "the Ray cluster has no machine with a core", hint="`ray status` shows what it has"
        )
    return [count for count in cores if count]


def stopped(error: Exception) -> Stopped:
    return Stopped(f"the cluster failed: {_last_line(error)}", hint=GO_ON)


def _last_line(error: Exception) -> str:
    """Return the relevant line of one of Ray's long messages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200].rstrip(" .") if lines else type(error).__name__
