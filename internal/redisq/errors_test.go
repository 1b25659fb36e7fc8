package redisq

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/penguinmails/rookery/job"
	"github.com/redis/go-redis/v9"
)

type redisError string

func (r redisError) Error() string { return string(r) }
func (redisError) RedisError()     {}

func TestTranslate_NamesWhatMayPass(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err, is, not error
	}{
		{io.EOF, job.ErrUnavailable, job.ErrFull},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, job.ErrUnavailable, nil},
		{context.DeadlineExceeded, job.ErrUnavailable, nil},
		{redis.ErrPoolTimeout, job.ErrUnavailable, nil},
		{context.Canceled, context.Canceled, job.ErrUnavailable},
		{redis.ErrClosed, redis.ErrClosed, job.ErrUnavailable},
		{redisError("LOADING Redis is loading the dataset in memory"), job.ErrUnavailable, nil},
		{redisError("READONLY You can't write against a read only replica."), job.ErrUnavailable, nil},
		{redisError("CLUSTERDOWN The cluster is down"), job.ErrUnavailable, nil},
		{redisError("MASTERDOWN Link with MASTER is down"), job.ErrUnavailable, nil},
		{redisError("TRYAGAIN Multiple keys request during rehashing of slot"), job.ErrUnavailable, nil},
		{redisError("BUSY Redis is busy running a script."), job.ErrUnavailable, nil},
		{redisError("MISCONF Redis is configured to save RDB snapshots"), job.ErrUnavailable, nil},
		{redisError("NOREPLICAS Not enough good replicas to write."), job.ErrUnavailable, nil},
		{redisError("UNBLOCKED force unblock from blocking operation"), job.ErrUnavailable, nil},
		{redisError("ERR max number of clients reached"), job.ErrUnavailable, nil},
		{redisError("OOM command not allowed when used memory > 'maxmemory'."), job.ErrFull, job.ErrUnavailable},
		{redisError("WRONGTYPE Operation against a key"), nil, job.ErrUnavailable},
		{redisError("NOPERM User app has no permissions"), nil, job.ErrUnavailable},
		{redisError("WRONGPASS invalid username-password pair"), nil, job.ErrUnavailable},
		{redis.Nil, redis.Nil, job.ErrUnavailable},
	} {
		got := translate(c.err)
		if !errors.Is(got, c.err) || c.is != nil && !errors.Is(got, c.is) || c.not != nil && errors.Is(got, c.not) {
			t.Errorf("translate(%v) = %v, want %v and not %v", c.err, got, c.is, c.not)
		}
	}
	if err := translate(nil); err != nil {
		t.Errorf("translate(nil) = %v", err)
	}
}

func TestRefusal_OfAnUnknownAnswer(t *testing.T) {
	t.Parallel()
	for _, r := range []reply{nil, {}, {"WHAT"}, {int64(7)}} {
		if err := refusal(r); err == nil {
			t.Errorf("refusal(%v) = nil, want an error", r)
		}
	}
}

func TestReply_ReadsZeroWhereNothingIs(t *testing.T) {
	t.Parallel()
	r := reply{int64(3), "12", "1.7e+12", []any{int64(1)}, nil}
	if got := []int64{r.number(0), r.number(1), r.number(2), r.number(4), r.number(9), r.list(3).number(0)}; got[0] != 3 ||
		got[1] != 12 || got[2] != 1_700_000_000_000 || got[3] != 0 || got[4] != 0 || got[5] != 1 {
		t.Errorf("numbers = %v", got)
	}
	if r.text(0) != "" || r.text(9) != "" || r.list(0) != nil || r.list(9) != nil {
		t.Error("a place of another type is not zero")
	}
}
