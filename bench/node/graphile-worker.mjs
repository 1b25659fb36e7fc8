// Graphile Worker, on Postgres. A queue of ours is a task identifier of its: its own named queues run one job at a
// time.
import { EventEmitter, once } from 'node:events'
import { Logger, run, runMigrations } from 'graphile-worker'
import pg from 'pg'
import { businessSQL, inTx, open, query } from './pg.mjs'
import { sleep } from './record.mjs'

// Failed attempts are logged as errors by default; here they are meant.
const logger = new Logger(() => (level, message) => {
  if (level !== 'debug' && level !== 'info' && !/meant to fail/.test(message)) console.error(message)
})

const one = job => client => client.query({
  name: 'add_job',
  text: 'SELECT (graphile_worker.add_job($1, $2::json, run_at => $3::timestamptz)).id',
  values: [job.queue, JSON.stringify(job.data), job.runAt ?? null]
})

// The statement its own addJobs uses, but for the rows, which nobody wants back.
const many = jobs => client => client.query({
  name: 'add_jobs',
  text: `SELECT count(*) FROM graphile_worker.add_jobs(
    array(SELECT json_populate_recordset(null::graphile_worker.job_spec, $1::json)), false)`,
  values: [JSON.stringify(jobs.map(job => ({ identifier: job.queue, payload: job.data, run_at: job.runAt })))]
})

const system = (settings, worker) => ({
  settings: `Graphile Worker 0.18.0: add_job and add_jobs in SQL, in the transaction of the business row; ${settings} ` +
    'A failed job is tried again after exp(attempts) seconds, 2.7 s at first: that is built in and left as it is. Completed jobs are deleted.',

  setup: servers => runMigrations({ connectionString: servers.databaseURL, logger }),

  left: async servers => Number((await query(servers, 'SELECT count(*) FROM graphile_worker.jobs'))[0].count),

  async producer (servers, o) {
    const pool = await open(servers, o.producers)
    return {
      insert: jobs => inTx(pool, [
        ...(o.business ? [client => client.query(businessSQL)] : []),
        jobs.length === 1 ? one(jobs[0]) : many(jobs)
      ]),
      close: () => pool.end()
    }
  },

  async work (servers, o, handle) {
    const events = new EventEmitter()
    const listening = once(events, 'pool:listen:success')
    const { maxPoolSize, ...preset } = worker(o.concurrency)
    const pgPool = new pg.Pool({ connectionString: servers.databaseURL, max: maxPoolSize })
    pgPool.on('error', console.error)
    pgPool.on('connect', client => client.on('error', console.error))
    const runner = await run({
      logger,
      events,
      pgPool,
      noHandleSignals: true,
      parsedCronItems: [],
      taskList: Object.fromEntries(o.names.map(name => [name, (data, { job }) => handle(data, job.attempts === 1)])),
      preset: { worker: preset }
    })
    runner.promise.catch(err => {
      console.error(err)
      process.exit(1)
    })
    await listening
    return {
      // Without batching it does not wait for its last completions, and a pool of its own it would end under them:
      // their jobs would stay locked for 4 hours. So the pool is ours, and ends when nobody uses it.
      async stop () {
        await runner.stop()
        while (pgPool.waitingCount || pgPool.idleCount < pgPool.totalCount) await sleep(5)
        await pgPool.end()
      }
    }
  }
})

export const systems = {
  'graphile-worker': system(
    'its defaults: 1 job at once unless -concurrency says otherwise, a pool of 10 connections or of two more than the jobs at once, as its reference advises, no batching.',
    concurrency => ({ concurrentJobs: concurrency || 1, maxPoolSize: Math.max(10, concurrency + 2) })),
  'graphile-worker-bench': system(
    'the settings of its own benchmark (worker.graphile.org/docs/performance): 24 jobs at once and 25 connections unless -concurrency says otherwise, a local queue of 500, completions and failures in batches with a delay of 0 ms.',
    concurrency => ({
      concurrentJobs: concurrency || 24,
      maxPoolSize: (concurrency || 24) + 1,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0
    }))
}
