// Package retry repeats what failed: how often, after which wait, and which errors deserve it.
package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/corexalgo/ftpclient/internal/reply"
)

// A Policy bounds repetition.
type Policy struct {
	MaxRetries int           // attempts in a row without progress, after the first; 0: 3; <0: none
	Delay      time.Duration // before the first retry, doubled each time; 0: 1s
	MaxDelay   time.Duration // 0: 30s
}

// An Attempt does the work once; n counts from 1. With progress, what it moved is kept whatever the error.
type Attempt func(ctx context.Context, n int) (progress bool, err error)

// Do calls f until it succeeds, fails for good (see Retryable) or has used up p. An attempt that made progress gives the
// next ones the whole policy again. Each wait is drawn evenly from (0, delay], so that workers that failed together do not
// come back together. Before each wait onRetry, if not nil, hears which attempt failed, why, and how long the wait is.
//
// When ctx ends, Do returns at once with its error, which then wins over the failure that it may have caused; the text
// of the last failure is kept, its identity is not.
func Do(ctx context.Context, p Policy, onRetry func(n int, wait time.Duration, err error), f Attempt) (attempts int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	p = p.withDefaults()
	delays := p.delays()
	retries := 0
	for n := 1; ; n++ {
		progress, err := f(ctx, n)
		if err == nil || !Retryable(err) {
			return n, err
		}
		if ctx.Err() != nil {
			return n, interrupted(ctx, err)
		}
		if progress {
			retries = 0
			delays.Reset()
		}
		if retries >= p.MaxRetries {
			return n, err
		}
		retries++
		wait := delays.NextBackOff()
		if onRetry != nil {
			onRetry(n, wait, err)
		}
		if !sleep(ctx, wait) {
			return n, interrupted(ctx, err)
		}
	}
}

// Ask is Do of a question that is asked again as long as the answer is "not now" (4xx) and the connection is usable, for that alone:
// what was moved before need not be moved again. Any other error is ask's own, for the caller to judge.
func Ask(ctx context.Context, p Policy, usable func() bool, ask func(ctx context.Context) error) error {
	var answer error
	_, interrupted := Do(ctx, p, nil, func(ctx context.Context, _ int) (bool, error) {
		if answer = ask(ctx); reply.Code(answer)/100 == 4 && usable() {
			return false, Transient(answer)
		}
		return false, nil
	})
	if interrupted != nil && ctx.Err() != nil {
		return interrupted
	}
	return answer
}

func (p Policy) withDefaults() Policy {
	if p.MaxRetries == 0 {
		p.MaxRetries = 3
	}
	if p.Delay <= 0 {
		p.Delay = time.Second
	}
	if p.MaxDelay <= 0 {
		p.MaxDelay = 30 * time.Second
	}
	p.Delay = min(p.Delay, p.MaxDelay)
	return p
}

func (p Policy) delays() backoff.BackOff {
	return fullJitter{backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(p.Delay),
		backoff.WithMaxInterval(p.MaxDelay),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0),
		backoff.WithMaxElapsedTime(0),
	)}
}

// fullJitter spreads each interval d evenly over (0, d]. The library's own jitter keeps half of d at least, and workers
// refused together would come back in one wave.
type fullJitter struct{ backoff.BackOff }

func (j fullJitter) NextBackOff() time.Duration { return 1 + rand.N(j.BackOff.NextBackOff()) }

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func interrupted(ctx context.Context, last error) error {
	if errors.Is(last, ctx.Err()) {
		return last
	}
	return fmt.Errorf("%w (last failure: %v)", ctx.Err(), last) //nolint:errorlint // the context's error is the only identity, see Do
}
