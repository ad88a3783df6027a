package pool_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/pool"
)

// BenchmarkAcquire is what a pool costs each call that uses a connection which is there.
func BenchmarkAcquire(b *testing.B) {
	p := &peer{}
	pl := pool.New(pool.Options[*conn]{Max: 8, Dial: p.dial})
	defer pl.Close()
	b.ReportAllocs()
	for b.Loop() {
		l, err := pl.Acquire(b.Context())
		require.NoError(b, err)
		l.Release()
	}
}

func BenchmarkAcquireByMany(b *testing.B) {
	p := &peer{}
	pl := pool.New(pool.Options[*conn]{Max: 8, Dial: p.dial})
	defer pl.Close()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l, err := pl.Acquire(b.Context())
			if err != nil {
				b.Error(err)
				return
			}
			l.Release()
		}
	})
}
