// A receiver of Rookery's push workers: WEBHOOK_SECRET=… PORT=… node receiver.mjs
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const key = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");
const done = new Set(); // yours: a table with the id as its key, written in the work's transaction

function verified(headers, body) {
  const { "webhook-id": id, "webhook-timestamp": at, "webhook-signature": signatures = "" } = headers;
  if (!id || !(Math.abs(Date.now() / 1000 - Number(at)) <= 300)) return false;
  const want = createHmac("sha256", key).update(`${id}.${at}.`).update(body).digest();
  return signatures.split(" ").some((one) => {
    const got = Buffer.from(one.slice(3), "base64");
    return one.startsWith("v1,") && got.length === want.length && timingSafeEqual(got, want);
  });
}

createServer(async (req, res) => {
  const pieces = [];
  for await (const piece of req) pieces.push(piece);
  const body = Buffer.concat(pieces); // the bytes that were signed, before they are parsed
  if (!verified(req.headers, body)) return res.writeHead(401).end();
  const id = req.headers["webhook-id"];
  if (!done.has(id)) console.log("work", JSON.stringify(JSON.parse(body)));
  done.add(id);
  res.writeHead(204).end();
}).listen(process.env.PORT, "127.0.0.1");
