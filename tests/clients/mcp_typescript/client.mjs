// Uses `kv mcp` as an agent would, with the official TypeScript SDKs.
//
//     node client.mjs --modules NODE_MODULES --kv PATH --home KV_HOME --mode v1|legacy|auto|2026-07-28 [--expect open|locked|stopped]
//         [--database CONNECTION] [--machine CONNECTION]
//
// `v1` is the package that most clients ship, @modelcontextprotocol/sdk; the other modes are @modelcontextprotocol/client,
// which speaks both eras. It wants a vault with a connection `openai` to a service that streams an answer word by word and
// repeats what it was told (the fake in `tests/fakes` does). It prints one line of JSON, or exits with 1 at the first thing
// that is not as it should be.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";

const CORE = [
  "kv_status", "kv_list", "kv_search", "kv_read", "kv_write", "kv_api", "kv_api_get", "kv_query", "kv_sql_exec", "kv_ssh",
  "kv_wait", "kv_more",
];

const { values: options } = parseArgs({
  options: {
    modules: { type: "string" },
    kv: { type: "string" },
    home: { type: "string" },
    mode: { type: "string" },
    expect: { type: "string", default: "open" },
    database: { type: "string" },
    machine: { type: "string" },
  },
});
const environment = { PATH: process.env.PATH ?? "", KV_HOME: options.home };

// The packages lie where the tests put them, not beside this file.
const load = createRequire(`${options.modules}/`);

function connected() {
  const who = { name: "typescript-sdk", version: "1" };
  const start = { command: options.kv, args: ["mcp", "--agent", "typescript-sdk"], env: environment, stderr: "inherit" };
  if (options.mode === "v1") {
    const { Client } = load("@modelcontextprotocol/sdk/client/index.js");
    const { StdioClientTransport } = load("@modelcontextprotocol/sdk/client/stdio.js");
    return { client: new Client(who), transport: new StdioClientTransport(start) };
  }
  const { Client } = load("@modelcontextprotocol/client");
  const { StdioClientTransport } = load("@modelcontextprotocol/client/stdio");
  const mode = ["legacy", "auto"].includes(options.mode) ? options.mode : { pin: options.mode };
  return { client: new Client(who, { versionNegotiation: { mode } }), transport: new StdioClientTransport(start) };
}

const { client, transport } = connected();

// The first release has an argument more: a schema for the result.
function call(name, args, how) {
  const params = { name, arguments: args };
  return options.mode === "v1" ? client.callTool(params, undefined, how) : client.callTool(params, how);
}

function chat(text, more = {}) {
  const body = { model: "gpt-4o-mini", messages: [{ role: "user", content: text }], ...more };
  return { provider: "openai", path: "/v1/chat/completions", method: "POST", body };
}

// A tool's error: for the agent to read, and to act on.
async function fails(name, args, code, sent) {
  const result = await call(name, args);
  assert.equal(result.isError, true, `${name} fails`);
  assert.equal(result.structuredContent.code, code);
  assert.equal(result.structuredContent.sent, sent);
  assert.match(result.content[0].text, /^error: /);
  return result;
}

async function streaming() {
  const said = [];
  const words = "one two three four five six seven";
  const result = await call("kv_api", chat(words, { stream: true }), { onprogress: (progress) => said.push(progress) });
  assert.equal(result.isError, false);
  assert.ok(result.structuredContent.text.includes(words));
  assert.ok(said.length > 3, "it came in pieces");
  assert.ok(said.every((piece, at) => at === 0 || piece.progress > said[at - 1].progress), "progress grows");
  // This client forgets who listens as soon as it has the result, so a piece that came with it may not be heard.
  const heard = said.map((piece) => piece.message).join("");
  assert.ok(result.structuredContent.text.startsWith(heard), `${heard} is the beginning of it`);
  return said.length;
}

function inFlight() {
  return JSON.parse(execFileSync(options.kv, ["status", "--json"], { env: environment })).calls_in_flight;
}

// Cancelled after the first word of thousands: nothing may be left running.
async function cancelling() {
  const abort = new AbortController();
  const heard = Promise.withResolvers?.() ?? deferred();
  const running = call("kv_api", chat("word ".repeat(4000), { stream: true }), { signal: abort.signal, onprogress: () => heard.resolve() });
  await Promise.race([heard.promise, running]);
  assert.equal(inFlight(), 1, "the call is under way");
  abort.abort("enough");
  await assert.rejects(running);
  const cancelled = performance.now();
  while (inFlight() > 0) {
    assert.ok(performance.now() - cancelled < 5000, "the daemon gives the call up");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return Math.round(performance.now() - cancelled);
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolve) => (made.resolve = resolve));
  return made;
}

async function openVault() {
  const facts = {};
  const status = (await call("kv_status", {})).structuredContent;
  assert.deepEqual([status.running, status.vault], [true, "unlocked"]);

  const found = (await call("kv_list", {})).structuredContent.connections;
  assert.ok(found.some((connection) => connection.name === "openai"));
  const { allowed } = (await call("kv_list", { connection: "openai" })).structuredContent;
  assert.ok(allowed.kv_read.includes("models.list"));
  facts.connections = found.length;

  const { operations } = (await call("kv_search", { query: "create a chat completion" })).structuredContent;
  assert.ok(operations.some((operation) => operation.operation === "openai/chat.completions.create"));

  const models = await call("kv_read", { operation: "openai/models.list" });
  assert.equal(models.isError, false);
  assert.deepEqual([models.structuredContent.status, models.structuredContent.from], [200, "openai"]);
  facts.models = models.structuredContent.body.data.length;

  const plain = await call("kv_api", chat("hello kv"));
  assert.ok(plain.structuredContent.body.choices[0].message.content.includes("hello kv"));

  facts.pieces = await streaming();
  facts.cancelled_ms = await cancelling();

  const long = await call("kv_api", chat("long ".repeat(8000)));
  const first = long.structuredContent;
  assert.equal(statSync(first.file).mode & 0o777, 0o600);
  assert.equal(long.content.filter((block) => block.type === "resource_link").length, 1);
  let { text, cursor } = first;
  while (cursor) {
    const more = (await call("kv_more", { cursor })).structuredContent;
    text += more.text;
    cursor = more.cursor;
  }
  assert.equal(text, readFileSync(first.file, "utf8"));
  facts.long = text.length;

  await fails("kv_read", { operation: "openai/chat.completions.create", input: {} }, "usage", "no");
  const refused = await fails("kv_api_get", { provider: "openai", path: "/v1/no/such/path" }, "policy_denied", "no");
  assert.ok(refused.structuredContent.details.nearest.length > 0);
  await fails("kv_api_get", { provider: "openai", path: "/v1/models/no-such-model" }, "upstream", "yes");
  await fails("kv_api_get", { provider: "nobody", path: "/" }, "not_found", "no");
  await fails("kv_status", { surprise: 1 }, "usage", "no");
  if (options.database) facts.rows = await database(options.database);
  if (options.machine) facts.exit_code = await machine(options.machine);
  return facts;
}

// A table `items` of 100 rows.
async function database(connection) {
  const query = { connection, sql: "select id, name from items where id <= $1 order by id", params: [3] };
  const { rows, columns } = (await call("kv_query", query)).structuredContent;
  assert.deepEqual(rows, [[1, "item 1"], [2, "item 2"], [3, "item 3"]]);
  assert.deepEqual(columns.map((column) => column.name), ["id", "name"]);
  const wrong = await fails("kv_query", { ...query, sql: "select nme from items where id = $1" }, "usage", "yes");
  assert.ok(wrong.content[0].text.includes("(SQLSTATE 42703)"));
  await fails("kv_sql_exec", { connection, sql: "grant all on items to public" }, "policy_denied", "no");
  return rows.length;
}

async function machine(connection) {
  const said = [];
  const command = { connection, shell: "echo one; sleep 0.2; echo two; echo three >&2; exit 3" };
  const result = await call("kv_ssh", command, { onprogress: (progress) => said.push(progress.message) });
  const { exit_code, stdout, stderr } = result.structuredContent;
  assert.deepEqual([result.isError, exit_code, stdout, stderr], [false, 3, "one\ntwo\n", "three\n"]);
  // The end of a piece is held back while it could be the beginning of a secret.
  assert.ok(said.length > 1 && said[0] && "one\n".startsWith(said[0]), "it was told as it came");
  return exit_code;
}

async function lockedVault() {
  const status = (await call("kv_status", {})).structuredContent;
  assert.deepEqual([status.running, status.vault], [true, "locked"]);
  const result = await fails("kv_api", chat("hello"), "locked", "no");
  assert.ok(result.content[0].text.includes("ask the person to run: kv unlock"));
  return {};
}

async function stoppedDaemon() {
  const status = (await call("kv_status", {})).structuredContent;
  assert.equal(status.running, false);
  const result = await fails("kv_api", chat("hello"), "daemon_unreachable", "no");
  assert.ok(result.content[0].text.includes("ask the person to run: kv unlock"));
  return {};
}

async function session() {
  await client.connect(transport);
  const protocol = options.mode === "v1" ? "initialize" : client.getNegotiatedProtocolVersion();
  if (options.mode === "auto" || options.mode === "2026-07-28") assert.equal(protocol, "2026-07-28");
  assert.equal(client.getServerVersion().name, "kv");
  assert.ok(client.getInstructions().includes("kv unlock"));
  const { tools } = await client.listTools();
  assert.deepEqual(tools.map((tool) => tool.name), CORE);
  assert.ok(tools.every((tool) => tool.outputSchema && tool.annotations && tool.title));
  await assert.rejects(call("kv_no_such_tool", {}), (error) => error.code === -32602);
  const part = { open: openVault, locked: lockedVault, stopped: stoppedDaemon }[options.expect];
  const facts = await part();
  await client.close();
  return { client: "typescript", mode: options.mode, protocol, expect: options.expect, ...facts };
}

const limit = setTimeout(() => {
  console.error("not done after 60 s");
  process.exit(1);
}, 60_000);
try {
  console.log(JSON.stringify(await session()));
  clearTimeout(limit);
} catch (error) {
  console.error(error);
  process.exit(1);
}
