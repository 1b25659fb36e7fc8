# A receiver of Rookery's push workers: WEBHOOK_SECRET=... PORT=... python3 receiver.py
import base64, hashlib, hmac, json, os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
done = set()  # yours: a table with the id as its key, written in the work's transaction


def verified(headers, body):
    id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not id or not at.isdigit() or abs(time.time() - int(at)) > 300:
        return False
    want = base64.b64encode(hmac.digest(KEY, f"{id}.{at}.".encode() + body, hashlib.sha256))
    signatures = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(b"v1," + want, one.encode()) for one in signatures)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        good = verified(self.headers, body)
        if good and self.headers["webhook-id"] not in done:
            print("work", json.dumps(json.loads(body)), flush=True)
            done.add(self.headers["webhook-id"])
        self.send_response(204 if good else 401)
        self.end_headers()


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver).serve_forever()
