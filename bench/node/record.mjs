// Moments are kept in µs since 1970, which a float holds exactly, and written in ns.
import { createWriteStream } from 'node:fs'
import { once } from 'node:events'

export const now = () => Math.round((performance.timeOrigin + performance.now()) * 1000)

// sleep sleeps no less than told: a timer alone counts from when the event loop last looked at the clock, and a busy
// loop's is some ms behind.
export async function sleep (ms) {
  const end = performance.now() + ms
  for (let left = ms; left > 0; left = end - performance.now()) await new Promise(resolve => setTimeout(resolve, Math.ceil(left)))
}

// writeRecord writes one line a job: its number, then its moments.
export async function writeRecord (file, lines) {
  if (!file) return
  const out = createWriteStream(file)
  for (let i = 0; i < lines.length; i += 10000) {
    const text = lines.slice(i, i + 10000).map(([n, ...moments]) => `${n} ${moments.map(us => us + '000').join(' ')}\n`).join('')
    if (!out.write(text)) await once(out, 'drain')
  }
  out.end()
  await once(out, 'close')
}
