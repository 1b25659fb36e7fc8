// A user and the mail that welcomes them, in one transaction of Drizzle.
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { bigint, pgTable, text } from "drizzle-orm/pg-core";
import pg from "pg";

const users = pgTable("users", {
  id: bigint("id", { mode: "bigint" }).primaryKey().generatedAlwaysAsIdentity(),
  email: text("email").notNull().unique(),
});

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 5 });
const db = drizzle(pool);

export async function signUp(email: string): Promise<string> {
  return await db.transaction(async (tx) => {
    const [user] = await tx.insert(users).values({ email }).returning({ id: users.id });
    const payload = JSON.stringify({ user_id: Number(user!.id), to: email });
    const job = await tx.execute<{ id: string }>(sql`
      INSERT INTO outbox.jobs (queue_name, kind, payload) VALUES ('email:processing', 'welcome', ${payload}::jsonb) RETURNING id`);
    return job.rows[0]!.id; // a bigint: pg gives a string
  });
}

export const end = () => pool.end();
