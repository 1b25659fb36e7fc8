// Package job holds the words of Rookery: what a job is, how its status may
// change, the envelope it travels in, and the errors everybody speaks of. It
// imports only the standard library, and everything else imports it.
//
// # The way of a status
//
// This drawing, the table behind [Next] and the guards in queries/*.sql say the
// same; a test in internal/arch compares all three.
//
//	from                        event     to
//	queued                      dispatch  dispatched
//	dispatched                  start     running
//	dispatched running          complete  completed
//	dispatched running          fail      queued      (retries are left)
//	dispatched running          exhaust   dead        (a failure, and none is left)
//	dispatched running          discard   dead
//	dispatched running          snooze    queued
//	dispatched running          lose      queued      (its lease ended)
//	dispatched running          poison    dead        (its lease ended once too often)
//	dispatched running          missing   queued      (left behind by an ended epoch)
//	queued dispatched           refuse    dead        (cannot be claimed or encoded)
//	queued dispatched running   cancel    cancelled
//	dead cancelled completed    redrive   queued
//
// "Scheduled" and "retrying" are what people call a queued job whose run_at lies
// in the future, without and with failures. They are not statuses.
package job
