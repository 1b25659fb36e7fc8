// The two actors, produce and work, for the systems written in Node; and setup, left and settings.
// ../README.md says what they are told and what they answer; ../actor is the same in Go.
//
// A system is an object of
//   settings                            how it is set up, and by whose advice
//   setup(servers, o)                   makes the schema, once for all processes
//   left(servers, o)                    counts the jobs its own store does not record as completed
//   producer(servers, o) -> {insert(jobs), close()}
//                                       connected; jobs are [{n, queue, data, runAt: Date or undefined}]
//   work(servers, o, handle) -> {stop()}
//                                       takes jobs; handle(data, first) runs one attempt, first says it is
//                                       the job's first; if it throws, the attempt failed
import { flags } from './flags.mjs'
import { makeBusinessTable } from './pg.mjs'
import { produce } from './produce.mjs'
import { work } from './work.mjs'

// Whatever is for people goes to stderr, the libraries' own messages too.
console.log = console.info = console.debug = console.error

const files = {
  'bullmq': './bullmq.mjs',
  'graphile-worker': './graphile-worker.mjs',
  'graphile-worker-bench': './graphile-worker.mjs',
  'pg-boss': './pg-boss.mjs',
  'pg-boss-bench': './pg-boss.mjs',
  'pg-boss-notify': './pg-boss.mjs'
}

const say = line => process.stdout.write(JSON.stringify(line) + '\n')

async function main ([command, ...args]) {
  const o = flags(args)
  if (!files[o.system]) throw new Error(`-system: one of ${Object.keys(files).join(', ')}`)
  const system = (await import(files[o.system])).systems[o.system]
  const servers = { databaseURL: process.env.DATABASE_URL, redisURL: process.env.REDIS_URL }
  switch (command) {
    case 'setup':
      await makeBusinessTable(servers)
      return system.setup(servers, o)
    case 'left':
      return say({ left: await system.left(servers, o) })
    case 'settings':
      return say({ settings: system.settings })
    case 'produce':
      if (o.queues) o.names = o.names.slice(-o.queues) // instead of -queue
      return produce(system, servers, o, say)
    case 'work':
      return work(system, servers, o, say)
    default:
      throw new Error('usage: node main.mjs setup|produce|work|left|settings -system NAME ...')
  }
}

try {
  await main(process.argv.slice(2))
  process.exit(0) // stdout is a pipe or a file, written at once
} catch (err) {
  console.error(err)
  process.exit(1)
}
