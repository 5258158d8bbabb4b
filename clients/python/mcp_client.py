"""Asks and acts as an agent does, by the official Python SDK of the Model Context Protocol.

    mcp_client.py stdio COMMAND...
    mcp_client.py http URL [TOKEN]

The project has a sync `orders_to_braze`. Prints a line for each thing that was proved, and ends with exit code 1
at the first difference. With `--write` among the words of the command, or a token of an editor, it also runs,
pauses and resumes the sync.
"""

import asyncio
import contextlib
import json
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

SYNC = "orders_to_braze"
LOOKS = {"list_syncs", "get_sync", "list_runs", "get_run", "list_failed_row_groups", "plan_sync"}
ROWS = {"list_failed_rows", "get_user_timeline"}
WRITES = {"run_sync", "retry_failed_rows", "pause_sync", "resume_sync"}


@contextlib.asynccontextmanager
async def connected(kind, words):
    if kind == "stdio":
        async with stdio_client(StdioServerParameters(command=words[0], args=words[1:])) as streams:
            yield streams[0], streams[1]
        return
    headers = {"Authorization": f"Bearer {words[1]}"} if len(words) > 1 else {}
    client = create_mcp_http_client(headers=headers)
    async with streamable_http_client(words[0], http_client=client) as streams:
        yield streams[0], streams[1]


def proved(what):
    print(f"ok   {what}", flush=True)


async def call(session, tool, **arguments):
    """Calls a tool, and returns its answer."""
    result = await session.call_tool(tool, arguments)
    text = result.content[0].text
    assert not result.is_error, f"{tool}: {text}"
    assert result.structured_content == json.loads(text), tool
    return result.structured_content


async def prove(session):
    begun = await session.initialize()
    info = begun.server_info
    assert info.name == "tidegate" and begun.instructions, begun
    proved(f"the session begins: {info.name} {info.version}")

    tools = {tool.name: tool for tool in (await session.list_tools()).tools}
    assert len(tools) <= 12 and LOOKS <= set(tools), sorted(tools)
    assert set(tools) <= LOOKS | ROWS | WRITES, sorted(tools)
    for name, tool in tools.items():
        hints = tool.annotations.model_dump(by_alias=True)
        assert hints["readOnlyHint"] is (name not in WRITES), name
        assert tool.description and tool.input_schema["type"] == "object", name
    proved(f"{len(tools)} tools are listed: {', '.join(sorted(tools))}")

    syncs = (await call(session, "list_syncs"))["data"]
    assert SYNC in [sync["sync"] for sync in syncs], syncs
    assert (await call(session, "get_sync", sync=SYNC))["mapping"], "no mapping"
    plan = await call(session, "plan_sync", sync=SYNC)
    assert plan["run"]["sync"] == SYNC and plan["run"]["ending"], plan
    proved("a sync is listed, shown and planned")

    if WRITES <= set(tools):
        paused = await call(session, "pause_sync", sync=SYNC, why="an agent tries it")
        refused = await session.call_tool("run_sync", {"sync": SYNC})
        assert refused.is_error and "paused" in refused.content[0].text, refused
        await call(session, "resume_sync", sync=SYNC)
        run = await call(session, "run_sync", sync=SYNC, wait_seconds=30)
        assert paused["paused"] and run["ending"] in ("succeeded", "partial"), run
        runs = (await call(session, "list_runs", sync=SYNC, limit=5))["data"]
        assert run["id"] in [one["id"] for one in runs], runs
        assert (await call(session, "get_run", run=run["id"]))["counts"] == run["counts"]
        proved(f"a sync is paused, resumed and run: {run['ending']}, {run['counts']}")
        groups = (await call(session, "list_failed_row_groups", sync=SYNC))["data"]
        assert groups or run["ending"] == "succeeded", groups
        assert all(group["rows"] >= 1 for group in groups), groups
        proved(f"failed rows come in groups: {groups[0]['reason']['message']}" if groups else "no row has failed")
    else:
        refused = await session.call_tool("run_sync", {"sync": SYNC})
        assert refused.is_error and "does not allow" in refused.content[0].text, refused
        proved("who may only look runs nothing")
    if ROWS <= set(tools):
        rows = (await call(session, "list_failed_rows", sync=SYNC))["data"]
        failed = (await call(session, "get_sync", sync=SYNC))["failed_rows"]
        assert bool(rows) == bool(failed) and all(row["row"] for row in rows), rows
        proved(f"rows are shown: {failed}")
    else:
        refused = await session.call_tool("list_failed_rows", {})
        assert refused.is_error, refused
        proved("who may not see rows sees none")

    wrong = await session.call_tool("get_sync", {"sync": "no_such_sync"})
    assert wrong.is_error and SYNC in wrong.content[0].text, wrong
    wrong = await session.call_tool("get_sync", {"name": SYNC})
    assert wrong.is_error and "no member `name`" in wrong.content[0].text, wrong
    proved("an unknown sync and a wrong argument say what to do")


async def main():
    kind, *words = sys.argv[1:]
    async with connected(kind, words) as (read, write):
        async with ClientSession(read, write) as session:
            await prove(session)


asyncio.run(main())
