# Part of the template: changes belong there (`copier update` merges this file).
"""The agent's entry point: NeMo Gym runs responses_api_agents/<name>/<entrypoint>, the agent is in agent.py."""

import sys
from pathlib import Path

# NeMo Gym's own responses_api_agents, whose simple_agent is used, must be found before this folder's.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from agent import EnvironmentAgent

if __name__ == "__main__":
    EnvironmentAgent.run_webserver()
