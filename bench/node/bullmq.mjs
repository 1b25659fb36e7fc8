// BullMQ, on Redis. Jobs cannot be added in a Postgres transaction: the business row is committed first, by itself.
import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { businessSQL, byQueue, open } from './pg.mjs'

const prefix = 'bull'
const states = ['waiting', 'active', 'delayed', 'prioritized', 'paused', 'waiting-children', 'failed']

// The queue keeps these with each job; the worker cannot set them.
const jobOptions = { attempts: 5, backoff: { type: 'fixed', delay: 1000 } }

function queue (servers, name) {
  const q = new Queue(name, { connection: { url: servers.redisURL }, prefix, defaultJobOptions: jobOptions })
  q.on('error', console.error)
  return q
}

export const systems = {
  bullmq: {
    settings: 'BullMQ 6.7.0 on ioredis 6.0.0: one Queue a process, addBulk for more than one job, 5 attempts with a fixed backoff of 1 s; ' +
      'one Worker a queue, concurrency 100 (its guide: "something between 100 and 300 is a quite standard setting" for jobs that wait for IO) ' +
      'unless -concurrency says otherwise, which several queues share; completed jobs are removed at once, the cheapest its guide to auto-removal knows. ' +
      'The business row is committed in Postgres on its own, before the jobs: a crash between the two loses the jobs.',

    async setup () {},

    async left (servers) {
      const redis = new Redis(servers.redisURL)
      const names = new Set()
      for await (const keys of redis.scanStream({ match: `${prefix}:*:meta`, count: 1000 })) {
        for (const key of keys) names.add(key.slice(prefix.length + 1, -':meta'.length))
      }
      redis.disconnect()
      let sum = 0
      for (const name of names) {
        const q = queue(servers, name)
        for (const n of Object.values(await q.getJobCounts(...states))) sum += n
        await q.close()
      }
      return sum
    },

    async producer (servers, o) {
      const pool = o.business ? await open(servers, o.producers) : null
      const queues = new Map(o.names.map(name => [name, queue(servers, name)]))
      for (const q of queues.values()) await q.waitUntilReady()
      const opts = job => job.runAt && { delay: Math.max(0, job.runAt - Date.now()) }
      return {
        async insert (jobs) {
          if (pool) await pool.query(businessSQL)
          if (jobs.length === 1) return queues.get(jobs[0].queue).add('job', jobs[0].data, opts(jobs[0]))
          await Promise.all(Array.from(byQueue(jobs), ([name, some]) =>
            queues.get(name).addBulk(some.map(job => ({ name: 'job', data: job.data, opts: opts(job) })))))
        },
        async close () {
          for (const q of queues.values()) await q.close()
          await pool?.end()
        }
      }
    },

    async work (servers, o, handle) {
      const concurrency = o.concurrency ? Math.ceil(o.concurrency / o.names.length) : 100
      const workers = o.names.map(name => new Worker(name, job => handle(job.data, job.attemptsMade === 0), {
        connection: { url: servers.redisURL, maxRetriesPerRequest: null },
        prefix,
        concurrency,
        removeOnComplete: { count: 0 }
      }))
      for (const w of workers) w.on('error', console.error)
      for (const w of workers) await w.waitUntilReady()
      return { stop: () => Promise.all(workers.map(w => w.close())) }
    }
  }
}
