"""An agent that calls the tools over MCP, by a client of the package `mcp`. It plays two rows to their verdicts: one
that is seeded as an agent's `/run` does, and one by NeMo Gym 0.7's typed request.

    python standins/mcp_player.py URL FOLDER_OF_ENVIRONMENT

It prints, as JSON: the names of the tools, and of each row the outputs, whether each is an error, and the verdict.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import requests
from mcp import ClientSession  # pyright: ignore[reportMissingImports]
from mcp.client.streamable_http import streamablehttp_client  # pyright: ignore[reportMissingImports]

URL, FOLDER = sys.argv[1], Path(sys.argv[2])


async def play(row: dict[str, Any], typed: bool) -> dict[str, Any]:
    fields = {key: value for key, value in row.items() if key != "responses_create_params"}
    seed = {
        "resources_session_id": "over-mcp",
        "episode_id": {"rollout_id": "0-0", "attempt": 0},
        "task_id": {"taskset": "test", "task_id": "0"},
        "task_data": fields,
    }
    agent = requests.Session()
    seeded = agent.post(f"{URL}/seed_session", json=seed if typed else row).json()
    access = seeded["resources_tools" if typed else "mcp"]
    async with AsyncExitStack() as stack:
        streams = await stack.enter_async_context(
            streamablehttp_client(URL + access["url_path"], headers=access["headers"])
        )
        client = await stack.enter_async_context(ClientSession(*streams[:2]))
        await client.initialize()
        tools = [tool.name for tool in (await client.list_tools()).tools]
        answer = row["ground_truth"][0]["expected_output"]
        calls = [("guess", {"word": "crane"}), ("guess", {}), ("guess", {"word": answer}), ("verify", {})]
        results = [await client.call_tool(name, arguments) for name, arguments in calls]
    response = {"id": "r", "created_at": 0.0, "model": "m", "object": "response", "output": []}
    response |= {"parallel_tool_calls": False, "tool_choice": "auto", "tools": []}
    verdict = agent.post(f"{URL}/verify", json=row | {"response": response}).json()
    outputs = [(bool(result.isError), result.content[0].text) for result in results]  # type: ignore[union-attr]
    return {"tools": tools, "outputs": outputs, "reward": verdict["reward"], "guesses": verdict["guesses"]}


async def main() -> None:
    rows = [json.loads(line) for line in (FOLDER / "data" / "example.jsonl").read_text().splitlines()[:2]]
    print(json.dumps([await play(row, typed) for row, typed in zip(rows, (False, True), strict=True)]))


asyncio.run(main())
