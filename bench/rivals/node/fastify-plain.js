// A receiver of Stripe's webhooks with Fastify 5.12, Stripe's own package 23.1 for the
// signature and better-sqlite3 12.11: one INSERT and one commit for each request.
// WAL with synchronous=FULL: a commit has returned from fsync when it is answered.
//
//   HOOK=whsec_… node fastify-plain.js DATA PORT
import Fastify from "fastify";
import Stripe from "stripe";
import { open } from "./store.js";

const [data, port] = process.argv.slice(2);
const secret = process.env.HOOK;

const { insert } = open(data);

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
