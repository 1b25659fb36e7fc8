// A worker with nothing but Node 18 or later; docs/pull-workers.md.
const { ROOKERY_URL = "http://127.0.0.1:8080", ROOKERY_KEY, QUEUE = "email:processing" } = process.env;
const me = `node-${process.pid}`;
const held = new Map(); // the leases we have, id to token
let stop = false;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function work(job) { // yours. It may run again after a crash: make it idempotent by job.id
  if (job.payload.fail) throw new Error("told to fail");
  await sleep(1000 * (job.payload.seconds ?? 0));
  console.log("did", job.id);
}

async function post(path, body) {
  const headers = { "Content-Type": "application/json", ...(ROOKERY_KEY && { Authorization: `Bearer ${ROOKERY_KEY}` }) };
  const answer = await fetch(ROOKERY_URL + path, { method: "POST", headers, body: JSON.stringify(body), signal: AbortSignal.timeout(30_000) });
  if (answer.ok) return answer.json();
  throw Object.assign(new Error(await answer.text()), { status: answer.status });
}

async function end(job, verb, more) {
  for (; held.has(job.lease_id); await sleep(1000)) { // the same again is safe, and answered the same
    const err = await post(`/v1/leases/${job.lease_id}/${verb}`, { lease_token: job.lease_token, ...more }).then(() => null, (e) => e);
    if (err?.status < 500) console.log(verb, "of job", job.id, "was refused:", err.message);
    if (!err || err.status < 500) return held.delete(job.lease_id);
  }
}

const beat = setInterval(async () => { // thrice per lease
  const leases = [...held].map(([lease_id, lease_token]) => ({ lease_id, lease_token }));
  if (leases.length === 0) return;
  const report = await post(`/v1/workers/${me}/heartbeat`, { leases }).catch((e) => console.log("heartbeat:", e.message));
  for (const id of [...(report?.lost ?? []), ...(report?.cancelled ?? [])]) held.delete(id);
}, 3000);

for (const s of ["SIGTERM", "SIGINT"]) process.on(s, () => { stop = true; });
while (!stop) {
  const answer = await post(`/v1/queues/${QUEUE}/lease`, { worker_id: me, max: 5, wait: "5s", lease: "10s" }).catch((e) => console.log("lease:", e.message));
  if (!answer) await sleep(1000);
  for (const job of answer?.jobs ?? []) held.set(job.lease_id, job.lease_token);
  for (const job of answer?.jobs ?? []) {
    if (stop) await end(job, "release");
    else if (held.has(job.lease_id)) await work(job).then(() => end(job, "ack"), (e) => end(job, "nack", { error: { type: e.name, message: e.message } }));
  }
}
clearInterval(beat);
