"""Uses `kv mcp` as an agent would, with the official Python SDK.

    python mcp_python.py --kv PATH --home KV_HOME --mode legacy|auto|2026-07-28 [--expect open|locked|stopped]
        [--database CONNECTION] [--machine CONNECTION]

It wants a vault with a connection `openai` to a service that streams an answer word by word and repeats what it was told
(the fake in `tests/fakes` does). It starts `kv mcp`, goes through what an agent does, prints one line of JSON, and exits
with 1 at the first thing that is not as it should be.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time

import anyio
from mcp import Client, MCPError, StdioServerParameters

CORE = [
    "kv_status", "kv_list", "kv_search", "kv_read", "kv_write", "kv_api", "kv_api_get", "kv_query", "kv_sql_exec", "kv_ssh",
    "kv_wait", "kv_more",
]
CHAT = {"provider": "openai", "path": "/v1/chat/completions", "method": "POST"}


def check(holds, what, seen=None):
    if not holds:
        raise AssertionError(f"{what}: {seen!r}")


def chat(text, **more):
    return CHAT | {"body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]} | more}


async def fails(client, tool, arguments, code, sent):
    """A tool's error: for the agent to read, and to act on."""
    result = await client.call_tool(tool, arguments)
    found = result.structured_content
    check(result.is_error, f"{tool} fails", result)
    check(found["code"] == code and found["sent"] == sent, f"{tool} fails with {code}", found)
    check(result.content[0].text.startswith("error: "), "the text says so too", result.content)
    return result


async def streaming(client):
    said = []

    async def heard(progress, total, message):
        said.append((progress, message))

    words = "one two three four five six seven"
    result = await client.call_tool("kv_api", chat(words, stream=True), progress_callback=heard)
    check(not result.is_error and words in result.structured_content["text"], "the whole text", result)
    check(len(said) > 3, "it came in pieces", said)
    check([at for at, _ in said] == sorted({at for at, _ in said}), "progress grows", said)
    check("".join(text for _, text in said) == result.structured_content["text"], "the pieces are the whole", said)
    return len(said)


async def cancelling(client, arguments):
    """Cancelled after the first word of thousands: nothing may be left running."""
    began = anyio.Event()

    async def heard(progress, total, message):
        began.set()

    async def call():
        await client.call_tool("kv_api", chat("word " * 4000, stream=True), progress_callback=heard)
        raise AssertionError("a cancelled call gave a result")

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await began.wait()
        check(in_flight(arguments) == 1, "the call is under way")
        group.cancel_scope.cancel()
    cancelled = time.monotonic()
    while in_flight(arguments) > 0:
        check(time.monotonic() - cancelled < 5, "the daemon gives the call up")
        await asyncio.sleep(0.02)
    return round((time.monotonic() - cancelled) * 1000)


def in_flight(arguments):
    done = subprocess.run([arguments.kv, "status", "--json"], env=environment(arguments), capture_output=True, check=True)
    return json.loads(done.stdout)["calls_in_flight"]


async def open_vault(client, arguments):
    facts = {}
    status = (await client.call_tool("kv_status", {})).structured_content
    check(status["running"] and status["vault"] == "unlocked", "the vault is open", status)

    found = (await client.call_tool("kv_list", {})).structured_content["connections"]
    check("openai" in [connection["name"] for connection in found], "the connection is listed", found)
    allowed = (await client.call_tool("kv_list", {"connection": "openai"})).structured_content["allowed"]
    check("models.list" in allowed["kv_read"], "its operations are listed", allowed)
    facts["connections"] = len(found)

    found = (await client.call_tool("kv_search", {"query": "create a chat completion"})).structured_content["operations"]
    names = [operation["operation"] for operation in found]
    check("openai/chat.completions.create" in names, "the operation is found", names)
    check(all(operation["input"]["type"] == "object" for operation in found if "input" in operation), "with its schema", found)

    result = await client.call_tool("kv_read", {"operation": "openai/models.list"})
    check(not result.is_error and result.structured_content["status"] == 200, "models are read", result)
    check(result.structured_content["from"] == "openai", "and come from somewhere", result)
    check("came from connection openai" in result.content[0].text, "which the text says", result.content)
    facts["models"] = len(result.structured_content["body"]["data"])

    result = await client.call_tool("kv_api", chat("hello kv"))
    answer = result.structured_content["body"]["choices"][0]["message"]["content"]
    check("hello kv" in answer, "an answer that was not streamed", answer)

    facts["pieces"] = await streaming(client)
    facts["cancelled_ms"] = await cancelling(client, arguments)

    result = await client.call_tool("kv_api", chat("long " * 8000))
    first = result.structured_content
    check(len(first["text"].encode()) <= 24 << 10 and os.path.getsize(first["file"]) == first["bytes"], "a long answer", first.keys())
    check(os.stat(first["file"]).st_mode & 0o777 == 0o600, "its file is private")
    check([block.type for block in result.content].count("resource_link") == 1, "and linked", result.content)
    text, cursor = first["text"], first["cursor"]
    while cursor:
        more = (await client.call_tool("kv_more", {"cursor": cursor})).structured_content
        text, cursor = text + more["text"], more.get("cursor")
    check(text.encode() == open(first["file"], "rb").read(), "the pages are the file")
    facts["long"] = len(text)

    await fails(client, "kv_read", {"operation": "openai/chat.completions.create", "input": {}}, "usage", "no")
    refused = await fails(client, "kv_api_get", {"provider": "openai", "path": "/v1/no/such/path"}, "policy_denied", "no")
    check(refused.structured_content["details"]["nearest"], "with what there is instead", refused)
    await fails(client, "kv_api_get", {"provider": "openai", "path": "/v1/models/no-such-model"}, "upstream", "yes")
    await fails(client, "kv_api_get", {"provider": "nobody", "path": "/"}, "not_found", "no")
    await fails(client, "kv_status", {"surprise": 1}, "usage", "no")
    if arguments.database:
        facts["rows"] = await database(client, arguments.database)
    if arguments.machine:
        facts["exit_code"] = await machine(client, arguments.machine)
    return facts


async def database(client, name):
    """A table `items` of 100 rows."""
    query = {"connection": name, "sql": "select id, name from items where id <= $1 order by id", "params": [3]}
    found = (await client.call_tool("kv_query", query)).structured_content
    check(found["rows"] == [[1, "item 1"], [2, "item 2"], [3, "item 3"]], "rows", found)
    check([column["name"] for column in found["columns"]] == ["id", "name"], "under their columns", found)
    wrong = await fails(client, "kv_query", query | {"sql": "select nme from items where id = $1"}, "usage", "yes")
    check("(SQLSTATE 42703)" in wrong.content[0].text, "what is wrong with a statement", wrong)
    await fails(client, "kv_sql_exec", {"connection": name, "sql": "grant all on items to public"}, "policy_denied", "no")
    return len(found["rows"])


async def machine(client, name):
    said = []

    async def heard(progress, total, message):
        said.append(message)

    command = {"connection": name, "shell": "echo one; sleep 0.2; echo two; echo three >&2; exit 3"}
    result = await client.call_tool("kv_ssh", command, progress_callback=heard)
    found = result.structured_content
    check(not result.is_error and found["exit_code"] == 3, "a command's exit code", result)
    check((found["stdout"], found["stderr"]) == ("one\ntwo\n", "three\n"), "what it wrote", found)
    # The end of a piece is held back while it could be the beginning of a secret.
    check(len(said) > 1 and said[0] and "one\n".startswith(said[0]), "it was told as it came", said)
    return found["exit_code"]


async def locked_vault(client):
    status = (await client.call_tool("kv_status", {})).structured_content
    check(status["running"] and status["vault"] == "locked", "the vault is locked", status)
    result = await fails(client, "kv_api", chat("hello"), "locked", "no")
    check("ask the person to run: kv unlock" in result.content[0].text, "with what to do", result.content)
    return {}


async def stopped_daemon(client):
    status = (await client.call_tool("kv_status", {})).structured_content
    check(not status["running"], "the daemon is not there", status)
    result = await fails(client, "kv_api", chat("hello"), "daemon_unreachable", "no")
    check("ask the person to run: kv unlock" in result.content[0].text, "with what to do", result.content)
    return {}


def environment(arguments):
    return {"PATH": os.environ.get("PATH", ""), "KV_HOME": arguments.home}


async def session(arguments):
    server = StdioServerParameters(command=arguments.kv, args=["mcp", "--agent", "python-sdk"], env=environment(arguments))
    async with Client(server, mode=arguments.mode) as client:
        facts = {"client": "python", "mode": arguments.mode, "protocol": client.protocol_version, "expect": arguments.expect}
        modern = client.protocol_version == "2026-07-28"
        check(modern == (arguments.mode != "legacy"), "the era that was asked for", client.protocol_version)
        # A version that is adopted without asking leaves nobody to have given a name.
        if arguments.mode != "2026-07-28":
            check(client.server_info.name == "kv", "the server's name", client.server_info)
            check("kv unlock" in client.instructions, "instructions", client.instructions)
        tools = (await client.list_tools()).tools
        check([tool.name for tool in tools] == CORE, "the core tools", [tool.name for tool in tools])
        check(all(tool.output_schema and tool.annotations and tool.title for tool in tools), "fully described", tools)
        try:
            await client.call_tool("kv_no_such_tool", {})
            raise AssertionError("a tool that is not there answered")
        except MCPError as error:
            check(error.error.code == -32602, "an unknown tool", error)
        match arguments.expect:
            case "open":
                facts |= await open_vault(client, arguments)
            case "locked":
                facts |= await locked_vault(client)
            case "stopped":
                facts |= await stopped_daemon(client)
    return facts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kv", required=True)
    parser.add_argument("--home", required=True)
    parser.add_argument("--mode", required=True, choices=["legacy", "auto", "2026-07-28"])
    parser.add_argument("--database", help="a connection to a PostgreSQL database")
    parser.add_argument("--machine", help="a connection to a machine by SSH that may run anything")
    parser.add_argument("--expect", default="open", choices=["open", "locked", "stopped"])
    arguments = parser.parse_args()
    facts = asyncio.run(asyncio.wait_for(session(arguments), 60))
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
