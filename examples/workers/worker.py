#!/usr/bin/env python3
"""A worker with nothing but Python's standard library; docs/pull-workers.md."""
import json, os, signal, threading, time, urllib.request

URL, KEY = os.environ.get("ROOKERY_URL", "http://127.0.0.1:8080"), os.environ.get("ROOKERY_KEY")
QUEUE, ME = os.environ.get("QUEUE", "email:processing"), f"py-{os.getpid()}"
held, stop = {}, threading.Event()  # held: the leases we have, id to token

def work(job):  # yours. It may run again after a crash: make it idempotent by job["id"]
    if job["payload"].get("fail"):
        raise ValueError("told to fail")
    time.sleep(job["payload"].get("seconds", 0))
    print("did", job["id"], flush=True)

def post(path, body, again=False):
    headers = {"Content-Type": "application/json"} | ({"Authorization": "Bearer " + KEY} if KEY else {})
    while True:
        try:
            return json.load(urllib.request.urlopen(urllib.request.Request(URL + path, json.dumps(body).encode(), headers), timeout=30))
        except OSError as err:
            print(path, err, err.read().decode() if hasattr(err, "read") else "", flush=True)
            time.sleep(1)
            if not again or getattr(err, "code", 503) < 500:
                return {}

def end(job, verb, **more):  # the same again is safe, and answered the same
    post(f"/v1/leases/{job['lease_id']}/{verb}", {"lease_token": job["lease_token"], **more}, again=True)
    held.pop(job["lease_id"], None)

def beat():  # thrice per lease
    while not time.sleep(3):
        leases = [{"lease_id": i, "lease_token": t} for i, t in list(held.items())]
        report = post(f"/v1/workers/{ME}/heartbeat", {"leases": leases}) if leases else {}
        for lease in report.get("lost", []) + report.get("cancelled", []):
            held.pop(lease, None)

signal.signal(signal.SIGTERM, lambda *_: stop.set())
threading.Thread(target=beat, daemon=True).start()
while not stop.is_set():
    jobs = post(f"/v1/queues/{QUEUE}/lease", {"worker_id": ME, "max": 5, "wait": "5s", "lease": "10s"}).get("jobs", [])
    held.update((job["lease_id"], job["lease_token"]) for job in jobs)
    for job in (j for j in jobs if j["lease_id"] in held):  # not one that was lost meanwhile
        if stop.is_set():
            end(job, "release")
            continue
        try:
            work(job)
            end(job, "ack")
        except Exception as err:
            end(job, "nack", error={"type": type(err).__name__, "message": str(err)})
