// A job over HTTP, by types that were made from the server's own document:
// npx openapi-typescript http://127.0.0.1:8080/v1/openapi.json -o src/rookery.d.ts --default-non-nullable=false
import createClient from "openapi-fetch";
import type { paths } from "./rookery.js";

const rookery = createClient<paths>({
  baseUrl: process.env.ROOKERY_URL,
  headers: { Authorization: `Bearer ${process.env.ROOKERY_KEY}` },
});

// key makes it safe to send again after any failure: the job is inserted once.
export async function welcome(userId: number, to: string, key: string) {
  const { data, error } = await rookery.POST("/v1/jobs", {
    params: { header: { "Idempotency-Key": key } },
    body: { queue_name: "email:processing", kind: "welcome", payload: { user_id: userId, to } },
  });
  if (error) throw new Error(error.detail);
  return data;
}
