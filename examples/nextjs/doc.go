// Package nextjs has a route handler of a Next.js app that inserts a job in the
// transaction of its business writes. Its test installs what package-lock.json says and
// calls the handler, as Next.js does, on a real Postgres.
package nextjs
