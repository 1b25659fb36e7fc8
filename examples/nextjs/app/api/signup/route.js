// POST /api/signup of a Next.js app: the user and the mail that welcomes them are one
// transaction. Either both are there, or neither is, whatever dies when.
import pg from "pg";

// One pool for the process. A login that has rookery_producer, and its own tables, is enough.
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 5 });
pool.on("error", (err) => console.error("idle connection:", err.message));

export async function POST(request) {
  const { email } = await request.json().catch(() => ({}));
  if (typeof email !== "string" || !/^[^@\s]+@[^@\s]+$/.test(email) || email.length > 254) {
    return Response.json({ error: "email must be an address" }, { status: 400 });
  }
  const client = await pool.connect();
  let broken;
  try {
    await client.query("BEGIN");
    const user = await client.query("INSERT INTO users (email) VALUES ($1) RETURNING id", [email]);
    const job = await client.query(
      "INSERT INTO outbox.jobs (queue_name, kind, payload) VALUES ('email:processing', 'welcome', $1) RETURNING id",
      [{ user_id: user.rows[0].id, to: email }],
    );
    await client.query("COMMIT");
    return Response.json({ user_id: user.rows[0].id, job_id: job.rows[0].id }, { status: 201 });
  } catch (err) {
    await client.query("ROLLBACK").catch((e) => { broken = e; });
    if (err.code === "23505") return Response.json({ error: "there is such a user" }, { status: 409 });
    throw err;
  } finally {
    client.release(broken); // a connection that could not roll back is thrown away
  }
}
