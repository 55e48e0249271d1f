// A receiver of Stripe's webhooks with Express 5.3, Stripe's own package 23.1 for the
// signature and better-sqlite3 12.11: one INSERT and one commit for each request.
// WAL with synchronous=FULL: a commit has returned from fsync when it is answered.
//
//   HOOK=whsec_… node express.js DATA PORT
import express from "express";
import Stripe from "stripe";
import { open } from "./store.js";

const [data, port] = process.argv.slice(2);
const secret = process.env.HOOK;

const { insert } = open(data);

// Nothing is asked of Stripe, so that the key is of no use.
const stripe = new Stripe("sk_test_unused");

const app = express();
app.disable("x-powered-by");
app.disable("etag");

app.post("/webhooks/stripe", express.raw({ type: "application/json" }), (request, response) => {
  let event;
  try {
    event = stripe.webhooks.constructEvent(request.body, request.headers["stripe-signature"], secret);
  } catch {
    response.sendStatus(400);
    return;
  }
  insert.run(event.id, event.type, event.created, request.body);
  response.sendStatus(200);
});

app.listen(Number(port), "127.0.0.1", (error) => {
  if (error) throw error;
  console.log(`listening on 127.0.0.1:${port}`);
});
