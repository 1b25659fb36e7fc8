// Package orm has what a producer in TypeScript writes: a job inserted in a transaction
// of Drizzle, in one of Prisma, and over HTTP by types made from the API's document. Its
// test installs what package-lock.json says, compiles strictly, and runs each on a real
// Postgres.
package orm
