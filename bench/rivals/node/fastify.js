// A receiver of Stripe's webhooks made for speed: Fastify 5.12, better-sqlite3 12.11, the
// signature checked by hand with node:crypto, and one commit shared by all requests that
// came in the same turn of the event loop. WAL with synchronous=FULL: a commit has
// returned from fsync when the requests in it are answered.
//
//   HOOK=whsec_… node fastify.js DATA PORT
import { createHmac, createSecretKey, timingSafeEqual } from "node:crypto";
import Fastify from "fastify";
import { open } from "./store.js";

const TOLERANCE_SECONDS = 300;
const [data, port] = process.argv.slice(2);
const key = createSecretKey(Buffer.from(process.env.HOOK));

const { db, insert } = open(data);
const insertAll = db.transaction((all) => {
  for (const { event, body } of all) insert.run(event.id, event.type, event.created, body);
});

// Whether one of the header's v1 is the HMAC of "t.body", and t is not long ago.
function isSigned(body, header) {
  if (!Buffer.isBuffer(body) || typeof header !== "string") return false;
  let at;
  const signatures = [];
  for (const part of header.split(",")) {
    const equals = part.indexOf("=");
    const name = part.slice(0, equals).trim();
    if (name === "t") at = part.slice(equals + 1);
    else if (name === "v1") signatures.push(part.slice(equals + 1));
  }
  if (!/^\d+$/.test(at)) return false;
  if (Math.abs(Date.now() / 1000 - Number(at)) > TOLERANCE_SECONDS) return false;
  const expected = Buffer.from(
    createHmac("sha256", key).update(`${at}.`).update(body).digest("hex"),
  );
  return signatures.some((signature) => {
    const given = Buffer.from(signature);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

function parse(body) {
  try {
    const event = JSON.parse(body);
    const whole =
      typeof event.id === "string" &&
      typeof event.type === "string" &&
      Number.isSafeInteger(event.created);
    return whole ? event : undefined;
  } catch {
    return undefined;
  }
}

// What waits for the next commit. `setImmediate` runs when all sockets that had something
// to read have been read; while a commit waits for the disk, the next requests arrive.
let waiting = [];

function commit() {
  const all = waiting;
  waiting = [];
  let status = 200;
  try {
    insertAll(all);
  } catch (error) {
    console.error(error);
    status = 500;
  }
  for (const { reply } of all) reply.code(status).send();
}

const app = Fastify({ logger: false });
// The signature is of the bytes that came.
app.removeAllContentTypeParsers();
app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
  done(null, body);
});

app.post("/webhooks/stripe", (request, reply) => {
  const { body } = request;
  const event = isSigned(body, request.headers["stripe-signature"]) ? parse(body) : undefined;
  if (event === undefined) {
    reply.code(400).send();
    return;
  }
  waiting.push({ event, body, reply });
  if (waiting.length === 1) setImmediate(commit);
});

await app.listen({ host: "127.0.0.1", port: Number(port) });
console.log(`listening on 127.0.0.1:${port}`);
