# Part of the template: changes belong there (`copier update` merges this file).
"""Work that keeps a core busy, on a Ray cluster instead of in the server's process.

    async def grade(self, episode, row, response):
        return Verdict(reward=await on_cluster(score, final_answer(response), expected_output(row)))

Ray is loaded and connected at the first call, so a server that never makes one starts without it. The cluster is that
of `ENV_RAY_ADDRESS` (`host:port`); else NeMo Gym's own under `ng_run` and `gym env start`; else one on this machine.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any

from gymkit import project

_connecting = Lock()


class ClusterLost(Exception):
    """The cluster cannot be reached, or has lost a call more often than it is tried again."""


async def on_cluster(function: Callable[..., Any], *arguments: Any, cpus: float = 1, retries: int = 3) -> Any:
    """Run a function in a worker of the cluster, and return what it returns.

    When the caller is cancelled (a tool's time limit, a client that has gone), so is the call, and its worker is ended.

    Args:
        function: A function of a module, without side effects: it runs anew where its worker is lost.
        arguments: Its arguments; they, and its result, are pickled.
        cpus: How many of the cluster's cores it takes. It waits until they are free.
        retries: How often it is run anew when its worker, or that worker's node, is lost.

    Raises:
        ClusterLost: the cluster is lost, or the function's workers were. A tool then answers with text, and a grader
            gives a masked sample.
        Exception: whatever the function raises.
    """
    ray = await asyncio.to_thread(_connected)
    call = _remote(function).options(num_cpus=cpus, max_retries=retries, **_where_modules_are()).remote(*arguments)
    try:
        return await call
    except asyncio.CancelledError:
        ray.cancel(call, force=True)
        raise
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise ClusterLost(f"{function.__name__}: {type(error).__name__}: {error}"[:500]) from None


def _connected() -> Any:
    """Ray, connected to the cluster."""
    with _connecting:
        import ray

        if not ray.is_initialized():
            try:
                ray.init(
                    address=_address(),
                    # Workers on other machines get the modules from here.
                    runtime_env={
                        "working_dir": str(project.ROOT),
                        "excludes": [".git", ".venv", ".env", "env.yaml", "data", "results"],
                        "py_executable": sys.executable,
                    },
                    include_dashboard=False,
                    log_to_driver=False,
                )
            except (ConnectionError, RuntimeError, TimeoutError) as error:
                raise ClusterLost(f"{type(error).__name__}: {error}"[:500]) from None
        return ray


def _where_modules_are() -> dict[str, Any]:
    """Options of a call by which its worker finds the environment's modules.

    Where NeMo Gym has connected us (0.4 does, under `ng_run`), no folder was sent to the workers, and it is too late
    for that: they look into ours, which other machines must have at the same place.
    """
    import ray

    if ray.get_runtime_context().runtime_env.get("working_dir"):
        return {}
    return {"runtime_env": {"env_vars": {"PYTHONPATH": str(project.ROOT)}}}


def _address() -> str:
    given = os.environ.get("ENV_RAY_ADDRESS")
    if given:
        return given
    from nemo_gym.global_config import get_global_config_dict

    return get_global_config_dict().get("ray_head_node_address") or "local"


@cache
def _remote(function: Callable[..., Any]) -> Any:
    import ray

    return ray.remote(function)
