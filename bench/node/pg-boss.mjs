// pg-boss, on Postgres.
import { PgBoss } from 'pg-boss'
import { businessSQL, byQueue, inTx, open, query } from './pg.mjs'

// A failed job is tried again at once by default.
const queueOptions = notify => ({ retryDelay: 1, notify })

async function start (servers, o, options) {
  const boss = new PgBoss({ connectionString: servers.databaseURL, ...options })
  boss.on('error', console.error)
  boss.on('warning', console.error)
  await boss.start()
  for (const name of o.names) await boss.createQueue(name, queueOptions(options.useListenNotify))
  return boss
}

// A producer leaves maintenance to the workers.
const idle = { supervise: false, schedule: false }

const insert = (boss, name, jobs) => client => {
  const db = { executeSql: (text, values) => client.query(text, values) }
  if (jobs.length === 1) return boss.send(name, jobs[0].data, { db, ...(jobs[0].runAt && { startAfter: jobs[0].runAt }) })
  return boss.insert(name, jobs.map(job => ({ data: job.data, startAfter: job.runAt })), { db })
}

const system = (settings, notify, options) => ({
  settings: 'pg-boss 12.38.0: send and insert with the db option, in the transaction of the business row; queues of the standard policy with a retryDelay of 1 s, ' +
    `the rest as it comes; maintenance is left to the worker process; ${settings} Completed jobs stay in its table for 7 days, its default.`,

  async setup (servers, o) {
    const boss = await start(servers, o, { ...idle, useListenNotify: notify })
    await boss.stop()
  },

  left: async servers => Number((await query(servers,
    "SELECT count(*) FROM pgboss.job WHERE state <> 'completed' AND name NOT LIKE '\\_\\_pgboss%'"))[0].count),

  async producer (servers, o) {
    const boss = await start(servers, o, { ...idle, useListenNotify: notify })
    const pool = await open(servers, o.producers)
    return {
      insert: jobs => inTx(pool, [
        ...(o.business ? [client => client.query(businessSQL)] : []),
        ...Array.from(byQueue(jobs), ([name, some]) => insert(boss, name, some))
      ]),
      async close () {
        await pool.end()
        await boss.stop()
      }
    }
  },

  async work (servers, o, handle) {
    const boss = await start(servers, o, { useListenNotify: notify })
    const share = Math.ceil(o.concurrency / o.names.length)
    for (const name of o.names) {
      const opts = options(share)
      await boss.work(name, opts, opts.batchSize ? jobs => batch(jobs, share, handle) : ([job]) => handle(job.data, job.retryCount === 0))
    }
    return { stop: () => boss.stop() }
  }
})

// batch runs jobs, at most so many at once (0: all), and says what became of each.
async function batch (jobs, most, handle) {
  const results = []
  let next = 0
  async function one () {
    while (next < jobs.length) {
      const job = jobs[next++]
      try {
        await handle(job.data, job.retryCount === 0)
        results.push({ id: job.id, status: 'completed' })
      } catch (err) {
        results.push({ id: job.id, status: 'failed', output: { message: err.message } })
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(most || jobs.length, jobs.length) }, one))
  return results
}

// perJobResults: otherwise one failure fails its whole batch.
const fast = { batchSize: 500, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true, perJobResults: true }

export const systems = {
  'pg-boss': system(
    'the worker by its defaults: it fetches 1 job every 2 seconds; -concurrency is its localConcurrency, which several queues share.',
    false, share => ({ localConcurrency: share || 1 })),
  'pg-boss-bench': system(
    'the worker fetches 500 at a time (batchSize), every 0.5 s, the least it allows, and again at once while batches come back full (burstWhenBatchFull); each job of a batch is settled by itself (perJobResults); ' +
    '-concurrency limits how many of a batch run at once.',
    false, () => fast),
  'pg-boss-notify': system(
    'as pg-boss-bench, and with LISTEN/NOTIFY, which its reference offers for low latency; polling goes on every 0.5 s, for retries and scheduled jobs are not notified.',
    true, () => ({ ...fast, notifyPollingIntervalSeconds: 0.5 }))
}
