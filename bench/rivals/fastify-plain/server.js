// A receiver of Stripe's webhooks with Fastify 5.12, Stripe's own package 23.1 for the
// signature and better-sqlite3 12.11: one INSERT and one commit for each request.
// WAL with synchronous=FULL: a commit has returned from fsync when it is answered.
//
//   HOOK=whsec_… node server.js DATA PORT
import Database from "better-sqlite3";
import Fastify from "fastify";
import Stripe from "stripe";

const [data, port] = process.argv.slice(2);
const secret = process.env.HOOK;

const db = new Database(`${data}/events.db`);
db.pragma("journal_mode = WAL");
db.pragma("synchronous = FULL");
db.exec(`CREATE TABLE IF NOT EXISTS events (
  id TEXT NOT NULL PRIMARY KEY, type TEXT NOT NULL, created INTEGER NOT NULL, body BLOB NOT NULL
)`);
const insert = db.prepare(
  "INSERT INTO events (id, type, created, body) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
);

// Nothing is asked of Stripe, so that the key is of no use.
const stripe = new Stripe("sk_test_unused");

const app = Fastify({ logger: false });
// The signature is of the bytes that came.
app.removeAllContentTypeParsers();
app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
  done(null, body);
});

app.post("/webhooks/stripe", (request, reply) => {
  let event;
  try {
    event = stripe.webhooks.constructEvent(request.body, request.headers["stripe-signature"], secret);
  } catch {
    reply.code(400).send();
    return;
  }
  insert.run(event.id, event.type, event.created, request.body);
  reply.code(200).send();
});

await app.listen({ host: "127.0.0.1", port: Number(port) });
console.log(`listening on 127.0.0.1:${port}`);
