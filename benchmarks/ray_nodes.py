"""A Ray cluster of several nodes' processes on this machine, each with one core and a small object store.

    ENVIRONMENT/.venv/bin/python benchmarks/ray_nodes.py

Prints its address. Each line on standard input adds a node, and is answered by the number of nodes; its end stops all.
"""

import os
import sys

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}

from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}

if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        print(cluster.address, flush=True)
        for _ in sys.stdin:
            cluster.add_node(**NODE)
            print(len(cluster.list_all_nodes()), flush=True)
    finally:
        cluster.shutdown()
