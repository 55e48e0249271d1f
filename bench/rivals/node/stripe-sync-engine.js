// @supabase/stripe-sync-engine 0.48.5 behind Fastify 5.12, with PostgreSQL: its own
// processWebhook checks the signature with Stripe's package 23.1 and writes the charge of
// the event to stripe.charges; the event itself it does not keep. PostgreSQL answers a
// statement when its commit is on the disk (synchronous_commit and fsync are on).
//
//   HOOK=whsec_… DATABASE_URL=postgres://… node stripe-sync-engine.js DATA PORT
import { createRequire } from "node:module";
import Fastify from "fastify";

// Its build for `import` looks for the migrations by `__dirname`, which is not there.
const { StripeSync, runMigrations } = createRequire(import.meta.url)("@supabase/stripe-sync-engine");

const port = Number(process.argv[3]);
const databaseUrl = process.env.DATABASE_URL;

// It tells a logger alone when the migrations fail.
const logger = {
  info() {},
  error(...said) {
    console.error(...said);
    process.exit(1);
  },
};
await runMigrations({ databaseUrl, schema: "stripe", logger });

const sync = new StripeSync({
  poolConfig: { connectionString: databaseUrl, max: 10 },
  schema: "stripe",
  stripeSecretKey: "sk_test_unused",
  stripeWebhookSecret: process.env.HOOK,
  // Nothing is asked of Stripe.
  autoExpandLists: false,
  backfillRelatedEntities: false,
});

const app = Fastify({ logger: false });
// The signature is of the bytes that came.
app.removeAllContentTypeParsers();
app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
  done(null, body);
});

app.post("/webhooks/stripe", async (request, reply) => {
  try {
    await sync.processWebhook(request.body, request.headers["stripe-signature"]);
  } catch (error) {
    const forged = error.type === "StripeSignatureVerificationError";
    if (!forged) console.error(error);
    reply.code(forged ? 400 : 500);
  }
  return reply.send();
});

await app.listen({ host: "127.0.0.1", port });
console.log(`listening on 127.0.0.1:${port}`);
