// produce inserts jobs: -producers at once, -per-tx in each transaction, as fast as they go or at moments drawn
// beforehand.
import { createInterface } from 'node:readline'
import { now, sleep, writeRecord } from './record.mjs'

export async function produce (system, servers, o, say) {
  const producer = await system.producer(servers, o)
  const transactions = Math.ceil(o.jobs / o['per-tx'])
  const drawn = o.rate ? draw(transactions, o.rate) : null
  const make = maker(o)
  const lines = []
  let next = 0

  const go = new Promise(resolve => createInterface({ input: process.stdin }).once('line', () => resolve(true)).once('close', () => resolve(false)))
  say({ ready: true })
  if (!await go) throw new Error('stdin was closed before it said to begin')

  const start = now()
  async function one () {
    while (next < transactions) {
      const tx = next++
      // Node's timers know whole milliseconds: it may begin 1 ms late, and the record says so.
      if (drawn) await sleep((start + drawn[tx] - now()) / 1000)
      const jobs = []
      for (let i = tx * o['per-tx']; i < Math.min(o.jobs, (tx + 1) * o['per-tx']); i++) jobs.push(make(o.first + i))
      const begun = now()
      const intended = drawn ? start + drawn[tx] : begun
      await producer.insert(jobs)
      const committed = now()
      if (o.record) for (const job of jobs) lines.push([job.n, intended, begun, committed])
    }
  }
  await Promise.all(Array.from({ length: o.producers }, one))
  const seconds = (now() - start) / 1e6

  await producer.close()
  await writeRecord(o.record, lines)
  say({ done: true, jobs: o.jobs, seconds, mallocs: 0, bytes: 0 })
}

// draw draws the moments of a Poisson process, in µs after its start.
function draw (n, rate) {
  let t = 0
  return Array.from({ length: n }, () => Math.round(t -= Math.log(1 - Math.random()) / rate * 1e6))
}

// maker returns a function that makes the n-th job, as makeJob of ../actor does: pads are pieces of one text, so that
// no two payloads are alike and making them costs next to nothing.
function maker (o) {
  const letters = 'etaoin shrdlu cmfwyp vbgkqj xz0123456789 ETAOIN SHRDLU'
  const text = Array.from({ length: 2 * o.payload + 4096 }, () => letters[Math.floor(Math.random() * letters.length)]).join('')
  return n => {
    const job = { n, queue: o.names[n % o.names.length], data: { n } }
    if (o['delay-to']) {
      const ms = Math.round(now() / 1000 + o['delay-from'] + Math.random() * (o['delay-to'] - o['delay-from']))
      job.runAt = new Date(ms)
      job.data.at = ms * 1e6
    }
    const room = Math.max(0, o.payload - JSON.stringify(job.data).length - ',"pad":""'.length)
    const from = n * 31 % (text.length - room)
    job.data.pad = text.slice(from, from + room)
    return job
  }
}
