"""NeMo Gym's own example of a server with session state, as its package ships it.

python nearest_example.py PORT
"""

import sys

from alone import run
from resources_servers.example_session_state_mgmt.app import StatefulCounterResourcesServer

if __name__ == "__main__":
    run(StatefulCounterResourcesServer, "example_session_state_mgmt", int(sys.argv[1]))
