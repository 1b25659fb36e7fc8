// POST /api/jobs of a Next.js app: `rookery push` delivers the jobs of a queue here, signed.
// 2xx completes a job; what is thrown, and any other status, has it come again later.
import { createHmac, timingSafeEqual } from "node:crypto";
import pg from "pg";

export const runtime = "nodejs"; // pg wants sockets, which the edge runtime does not have
export const maxDuration = 30; // seconds; no less than `rookery webhooks set --timeout`

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 5 });
pool.on("error", (err) => console.error("idle connection:", err.message));

function verified(headers, body) {
  const [id, at, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((h) => headers.get(h) ?? "");
  if (!id || !(Math.abs(Date.now() / 1000 - Number(at)) <= 300)) return false;
  const key = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");
  const want = createHmac("sha256", key).update(`${id}.${at}.`).update(body).digest();
  return signatures.split(" ").some((one) => {
    const got = Buffer.from(one.slice(3), "base64");
    return one.startsWith("v1,") && got.length === want.length && timingSafeEqual(got, want);
  });
}

const kinds = { // yours: what to do for each kind of job, in the transaction that remembers it
  "rookery.test": async () => {},
  welcome: (client, { user_id }) => client.query("UPDATE users SET welcomed_at = now() WHERE id = $1", [user_id]),
};

export async function POST(request) {
  const body = Buffer.from(await request.arrayBuffer()); // the bytes that were signed
  if (!verified(request.headers, body)) return new Response(null, { status: 401 });
  const { type, data } = JSON.parse(body);
  if (!Object.hasOwn(kinds, type)) return new Response(`no handler for ${type}`, { status: 501 });
  const client = await pool.connect();
  let broken;
  try {
    await client.query("BEGIN");
    const first = await client.query("INSERT INTO done (id) VALUES ($1) ON CONFLICT DO NOTHING", [request.headers.get("webhook-id")]);
    if (first.rowCount === 1) await kinds[type](client, data);
    await client.query("COMMIT");
    return new Response(null, { status: 204 });
  } catch (err) {
    await client.query("ROLLBACK").catch((e) => { broken = e; });
    throw err;
  } finally {
    client.release(broken);
  }
}
