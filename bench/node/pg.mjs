// What the systems have in common on Postgres. The two statements are those of ../actor/actor.go.
import pg from 'pg'

const businessTable = 'CREATE TABLE IF NOT EXISTS bench_orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text NOT NULL, total numeric NOT NULL, note text, placed_at timestamptz NOT NULL DEFAULT now())'
export const businessSQL = { name: 'business', text: "INSERT INTO bench_orders (customer, total, note) VALUES ('Ada Lovelace', 12.50, 'two stamps and an envelope')" }

// open returns a pool of so many connections, all of them made.
export async function open (servers, max) {
  const pool = new pg.Pool({ connectionString: servers.databaseURL, max, idleTimeoutMillis: 0 })
  pool.on('error', console.error)
  const clients = await Promise.all(Array.from({ length: max }, () => pool.connect()))
  for (const client of clients) client.release()
  return pool
}

// query runs one statement on a connection of its own.
export async function query (servers, text) {
  const client = new pg.Client({ connectionString: servers.databaseURL })
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

export const makeBusinessTable = servers => query(servers, businessTable)

// inTx runs the steps, functions of a client, in one transaction. A single step is a statement of its own and needs
// no BEGIN and COMMIT.
export async function inTx (pool, steps) {
  const client = await pool.connect()
  let broken
  try {
    if (steps.length > 1) await client.query('BEGIN')
    for (const step of steps) await step(client)
    if (steps.length > 1) await client.query('COMMIT')
  } catch (err) {
    broken = err
    throw err
  } finally {
    client.release(broken)
  }
}

// byQueue sorts jobs by their queue.
export function byQueue (jobs) {
  const queues = new Map()
  for (const job of jobs) {
    if (!queues.has(job.queue)) queues.set(job.queue, [])
    queues.get(job.queue).push(job)
  }
  return queues
}
