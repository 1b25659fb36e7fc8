// Flags as Go's package flag reads them: -name value, -name=value, --name; durations as 1.5s, 20ms, 1m30s.

const flag = {
  system: ['', String],
  jobs: [1000, number],
  first: [0, number],
  producers: [16, number],
  'per-tx': [100, number],
  payload: [120, number],
  rate: [0, number],
  business: [false, v => v === 'true'],
  queue: [[], String],
  queues: [0, number],
  'queue-first': [0, number],
  'delay-from': [0, milliseconds],
  'delay-to': [0, milliseconds],
  concurrency: [0, number],
  sleep: [0, milliseconds],
  'fail-every': [0, number],
  record: ['', String]
}

export function flags (args) {
  const o = {}
  for (const name in flag) o[name] = flag[name][0]
  o.queue = []
  for (let i = 0; i < args.length; i++) {
    const [, name, , given] = /^--?([a-z-]+)(=(.*))?$/s.exec(args[i]) ?? []
    if (!flag[name]) throw new Error(`unknown flag ${args[i]}`)
    const value = given ?? (name === 'business' ? 'true' : args[++i])
    if (value === undefined) throw new Error(`-${name} needs a value`)
    if (name === 'queue') o.queue.push(value)
    else o[name] = flag[name][1](value)
  }
  // The queues to insert into, or to work on.
  o.names = [...o.queue, ...Array.from({ length: o.queues }, (_, i) => `bench-${o['queue-first'] + i}`)]
  if (!o.names.length) o.names = ['bench']
  return o
}

function number (v) {
  if (!/^\d+(\.\d+)?$/.test(v)) throw new Error(`not a number: ${v}`)
  return Number(v)
}

const units = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1e3, m: 6e4, h: 36e5 }

export function milliseconds (v) {
  if (v === '0') return 0
  if (!/^([\d.]+(ns|us|µs|ms|s|m|h))+$/.test(v)) throw new Error(`not a duration: ${v}`)
  let sum = 0
  for (const [, n, unit] of v.matchAll(/([\d.]+)(ns|us|µs|ms|s|m|h)/g)) sum += Number(n) * units[unit]
  return sum
}
