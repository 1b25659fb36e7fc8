// Every system end to end, by its two actors, on private servers (or those of DATABASE_URL and REDIS_URL, which are
// taken to be nobody else's: databases named node_test_… are made there, and the Redis is emptied).
import assert from 'node:assert'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { Redis } from 'ioredis'
import { flags } from './flags.mjs'
import { query } from './pg.mjs'
import { now } from './record.mjs'

const pgBin = '/usr/lib/postgresql/15/bin'
const dir = mkdtempSync(join(tmpdir(), 'bench-node-'))
const servers = { DATABASE_URL: process.env.DATABASE_URL, REDIS_URL: process.env.REDIS_URL }
const started = []

before(async () => {
  if (!servers.REDIS_URL) {
    const port = await freePort()
    start('redis-server', ['--port', port, '--bind', '127.0.0.1', '--save', '', '--dir', dir])
    servers.REDIS_URL = `redis://127.0.0.1:${port}`
  }
  if (!servers.DATABASE_URL) {
    const port = await freePort()
    const data = join(dir, 'pg')
    // Postgres does not run as root.
    const user = process.getuid() === 0 ? { uid: id('-u'), gid: id('-g') } : {}
    if (user.uid) chownSync(dir, user.uid, user.gid)
    execFileSync(`${pgBin}/initdb`, ['-D', data, '-U', 'bench', '-A', 'trust', '--no-sync'], { ...user, cwd: dir, stdio: 'pipe' })
    start(`${pgBin}/postgres`, ['-D', data, '-p', port, '-k', dir, '-c', 'listen_addresses=127.0.0.1', '-c', 'fsync=off', '-c', 'max_connections=200'], user)
    servers.DATABASE_URL = `postgres://bench@127.0.0.1:${port}/postgres`
  }
  await until(() => query({ databaseURL: servers.DATABASE_URL }, 'SELECT 1'))
  await redis(r => r.flushall())
})

after(async () => {
  for (const p of started) {
    p.kill('SIGINT')
    if (p.exitCode === null) await once(p, 'exit')
  }
  rmSync(dir, { recursive: true, force: true })
})

for (const system of ['bullmq', 'graphile-worker', 'graphile-worker-bench', 'pg-boss', 'pg-boss-bench', 'pg-boss-notify']) {
  test(system, { timeout: 90000 }, async () => {
    const name = `node_test_${system.replaceAll('-', '_')}`
    const url = new URL(servers.DATABASE_URL)
    url.pathname = name
    const db = { databaseURL: servers.DATABASE_URL }
    await query(db, `DROP DATABASE IF EXISTS ${name}`)
    await query(db, `CREATE DATABASE ${name}`)
    const env = { ...process.env, ...servers, DATABASE_URL: url.href }
    const actor = (command, ...args) => new Actor(env, command, '-system', system, ...args)

    await actor('setup').end()
    await actor('setup').end() // again does no harm
    assert.ok((await actor('settings').end()).settings.length > 100)

    // 200 jobs and 20 business rows, one job in ten fails once.
    const worker = actor('work', '-concurrency', 100, '-sleep', '5ms', '-fail-every', 10, '-record', join(dir, 'work'))
    await worker.line(l => l.ready)
    await insert(actor('produce', '-jobs', 200, '-first', 1000, '-producers', 2, '-per-tx=10', '-business', '-record', join(dir, 'produce')), 200)
    await worker.line(l => l.ran === 200)
    assert.deepStrictEqual(await worker.end(), { done: true, jobs: 200, mallocs: 0, bytes: 0 })
    assert.deepStrictEqual(await actor('left').end(), { left: 0 })
    assert.strictEqual((await query({ databaseURL: url.href }, 'SELECT count(*)::int FROM bench_orders'))[0].count, 20)

    const made = record('produce', 200, 1000)
    const done = record('work', 200, 1000)
    for (const [n, [intended, begun, committed]] of made) {
      const [from, to] = done.get(n)
      assert.ok(intended <= begun && begun <= committed && from >= begun && to - from >= 5000000 - 1000, `job ${n}`)
      assert.ok(n % 10 || from - begun >= 1000000000, `job ${n} was tried again after ${(from - begun) / 1e6} ms`)
    }

    // 20 scheduled jobs in transactions at drawn moments, one job each, in two queues; left counts them before they run.
    await insert(actor('produce', '-jobs', 20, '-per-tx', 1, '-rate', 100, '-queues', 2, '-delay-from', '300ms', '-delay-to', '600ms', '-record', join(dir, 'produce')), 20)
    assert.deepStrictEqual(await actor('left').end(), { left: 20 })
    const second = actor('work', '-queues', 2, '-concurrency', 40, '-record', join(dir, 'work'))
    await second.line(l => l.ran === 20)
    await second.end()
    assert.deepStrictEqual(await actor('left').end(), { left: 0 })
    const ran = record('work', 20, 0)
    for (const [n, [, begun]] of record('produce', 20, 0)) assert.ok(ran.get(n)[0] - begun >= 299000000, `job ${n}`)

    // A worker that is stopped in the middle has told the store of every job it ran.
    await insert(actor('produce', '-jobs', 300), 300)
    const third = actor('work', '-concurrency', 20)
    await third.line(l => l.ran)
    const { jobs } = await third.end()
    assert.deepStrictEqual(await actor('left').end(), { left: 300 - jobs })

    await query(db, `DROP DATABASE ${name}`)
  })
}

test('flags', () => {
  const o = flags(['-system', 'bullmq', '--jobs=3', '-business', '-sleep', '1m1.5s', '-queue', 'a', '-queue', 'b'])
  assert.deepStrictEqual([o.system, o.jobs, o.business, o.sleep, o.names, o['per-tx']], ['bullmq', 3, true, 61500, ['a', 'b'], 100])
  assert.deepStrictEqual(flags(['-queues', '2', '-business=false']).names, ['bench-0', 'bench-1'])
  assert.deepStrictEqual(flags(['-queues', '2', '-queue-first', '3']).names, ['bench-3', 'bench-4'])
  assert.throws(() => flags(['-nonsense']))
})

test('the clock is that of the machine', () => {
  assert.ok(Math.abs(now() / 1000 - Date.now()) < 3)
})

// Actor is one process and the lines it has printed.
class Actor {
  constructor (env, ...args) {
    this.lines = []
    this.process = spawn(process.execPath, [new URL('main.mjs', import.meta.url).pathname, ...args], { env, stdio: ['pipe', 'pipe', 'inherit'] })
    this.closed = once(this.process, 'close')
    this.out = createInterface({ input: this.process.stdout })
    this.out.on('line', line => this.lines.push(JSON.parse(line)))
  }

  // line waits for a line.
  line (is) {
    return until(() => {
      if (this.process.exitCode) throw new Error('it failed')
      return this.lines.find(is) ?? assert.fail(JSON.stringify(this.lines.at(-1)))
    }, 60000)
  }

  // end closes stdin and returns the last line.
  async end () {
    this.process.stdin.end()
    const [code] = await this.closed
    assert.strictEqual(code, 0)
    return this.lines.at(-1)
  }
}

async function insert (producer, n) {
  await producer.line(l => l.ready)
  producer.process.stdin.write('go\n')
  const done = await producer.line(l => l.done)
  assert.ok(done.jobs === n && done.seconds > 0)
  await producer.end()
}

function record (file, n, first) {
  const lines = readFileSync(join(dir, file), 'utf8').trimEnd().split('\n').map(line => line.split(' ').map(Number))
  assert.strictEqual(lines.length, n)
  const jobs = new Map(lines.map(([job, ...moments]) => [job, moments]))
  for (let i = first; i < first + n; i++) assert.ok(jobs.has(i), `job ${i} is not in ${file}`)
  return jobs
}

async function redis (use) {
  const r = new Redis(servers.REDIS_URL)
  await use(r)
  r.disconnect()
}

async function until (ready, ms = 20000) {
  for (const end = Date.now() + ms; ;) {
    try {
      return await ready()
    } catch (err) {
      if (Date.now() > end) throw err
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
}

function start (program, args, user) {
  started.push(spawn(program, args.map(String), { ...user, cwd: dir, stdio: 'ignore' }))
}

const id = what => Number(execFileSync('id', [what, 'postgres']))

async function freePort () {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  return port
}
