// work runs jobs until its stdin is closed.
import { now, sleep, writeRecord } from './record.mjs'

export async function work (system, servers, o, say) {
  const lines = []
  let ran = 0
  let said = 0

  async function handle (data, first) {
    const started = now()
    if (o.sleep) await sleep(o.sleep)
    if (o['fail-every'] && first && data.n % o['fail-every'] === 0) throw new Error('meant to fail')
    if (o.record) lines.push([data.n, started, now()])
    ran++
  }
  const progress = () => {
    if (ran !== said) say({ ran: said = ran })
  }

  const closed = new Promise(resolve => process.stdin.once('end', resolve).once('close', resolve).resume())
  const worker = await system.work(servers, o, handle)
  say({ ready: true })
  const timer = setInterval(progress, 20)
  await closed
  await worker.stop()
  clearInterval(timer)
  progress()
  await writeRecord(o.record, lines)
  say({ done: true, jobs: ran, mallocs: 0, bytes: 0 })
}
