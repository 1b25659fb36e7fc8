// Package devstack runs private Postgres and Redis servers for development, the
// demo and the tests.
//
// It owns the servers it starts, and their folders. A server listens on 127.0.0.1
// alone, on a port of its own, lets in everybody who can reach that port, and ends
// with the process that started it: on Stop, or, on Linux, by the kernel's hand
// when that process is killed. Started by root it runs as the user postgres, else
// nobody, because Postgres refuses to run as root.
//
//	<folder>/lock    held (flock) by the process that started the server
//	<folder>/data    the server's files
//	<folder>/log     what the server says
//
// Folders that nobody asked for by name are called rookery-pg-* and rookery-redis-*,
// lie in os.TempDir and go with Stop. Those of a killed run stay behind, and the
// next start removes them.
//
// It leaves migrating to its callers, and is no way to run a server in production:
// there are no passwords, and a Postgres that is not Durable does not survive a
// crash of the machine.
package devstack
