// emulate's Slack, made stricter where Slack is: `node slack.mjs '<seed as JSON>'`.
// Prints {"url": ...} when it listens, forgets everything on each line read from stdin, ends when stdin closes.
//
// emulate itself listens on every interface, makes random ids, accepts any token and answers the read methods to POST
// only (slack_sdk reads with GET, and Slack takes both). So its request handler is taken out of its server and put behind one
// that listens on loopback; a reset builds a new emulator, which also clears its 5,000 requests an hour.
import crypto from "node:crypto";
import http from "node:http";
import { syncBuiltinESMExports } from "node:module";
import readline from "node:readline";
import { Readable } from "node:stream";

const seed = JSON.parse(process.argv[2]);
const tokens = new Set(seed.tokens.map((token) => token.token));
const createServer = http.createServer;
const randomBytes = crypto.randomBytes;
let handle;
let made;

http.createServer = (handler) => {
  handle = handler;
  return { listen() {} };
};
crypto.randomBytes = (size) => {
  if (size !== 5) return randomBytes(size); // 5 bytes are an id: U000000100, C000000101, ...
  return Buffer.from((made++ * 16).toString(16).padStart(10, "0"), "hex");
};
syncBuiltinESMExports();
const { createEmulator } = await import("emulate");

async function begin(baseUrl) {
  made = 0x100;
  await createEmulator({ service: "slack", seed: { slack: seed }, baseUrl });
}

function asPost(request) {
  const [path, query] = request.url.split("?");
  if (request.method !== "GET" || !path.startsWith("/api/")) return request;
  const headers = { ...request.headers, "content-type": "application/x-www-form-urlencoded" };
  return Object.assign(Readable.from([Buffer.from(query ?? "")]), { method: "POST", url: path, headers });
}

function serve(request, response) {
  const token = (request.headers.authorization ?? "").replace(/^Bearer /, "");
  // Whoever has the address of an upload may use it.
  if (tokens.has(token) || request.url.startsWith("/upload/")) return handle(asPost(request), response);
  request.resume();
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ ok: false, error: token ? "invalid_auth" : "not_authed" }));
}

const server = createServer(serve);
server.listen(0, "127.0.0.1", async () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  await begin(url);
  console.log(JSON.stringify({ url }));
  for await (const _ of readline.createInterface({ input: process.stdin })) {
    await begin(url);
    console.log(JSON.stringify({ url }));
  }
  process.exit(0);
});
