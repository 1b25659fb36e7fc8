# A receiver that answers at once and calls back when the work is done:
# WEBHOOK_SECRET=... PORT=... python3 later.py
import base64, hashlib, hmac, json, os, time, urllib.error, urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
workers = ThreadPoolExecutor(4)  # yours: whatever does long work


def verified(headers, body):
    id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not id or not at.isdigit() or abs(time.time() - int(at)) > 300:
        return False
    want = base64.b64encode(hmac.digest(KEY, f"{id}.{at}.".encode() + body, hashlib.sha256))
    signatures = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(b"v1," + want, one.encode()) for one in signatures)


def say(callback, verb, body):
    headers = {"Authorization": "Bearer " + callback["token"], "Content-Type": "application/json"}
    request = urllib.request.Request(f"{callback['url']}/{verb}", json.dumps(body).encode(), headers)
    for wait in 1, 2, 4, 8, 16:
        try:
            return urllib.request.urlopen(request, timeout=15).status
        except urllib.error.HTTPError as answer:
            if answer.code < 500:  # 409: the attempt is over; it comes again, or has
                return answer.code
        except OSError:
            pass
        time.sleep(wait)


def work(job):
    say(job["callback"], "extend", {"lease": "5m"})  # longer than the endpoint's timeout
    try:
        print("work", json.dumps(job["data"]), flush=True)
        if not isinstance(job["data"], dict):
            raise ValueError("data must be an object")
    except Exception as e:
        return say(job["callback"], "fail", {"error": {"type": type(e).__name__, "message": str(e)}})
    say(job["callback"], "complete", {})


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        good = verified(self.headers, body)
        if good and "callback" in (job := json.loads(body)):
            workers.submit(work, job)
            self.send_response(202)
            self.send_header("Rookery-Async", "true")
        else:
            self.send_response(204 if good else 401)  # a test has no job
        self.end_headers()


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver).serve_forever()
