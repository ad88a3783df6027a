package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/corexalgo/ftpclient/internal/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errLost = fmt.Errorf("control connection: %w", io.ErrUnexpectedEOF)

// never is an attempt that fails without progress.
func never(context.Context, int) (bool, error) { return false, errLost }

func TestASuccessIsNotRepeated(t *testing.T) {
	n, err := retry.Do(t.Context(), retry.Policy{}, nil, func(_ context.Context, n int) (bool, error) {
		assert.Equal(t, 1, n)
		return false, nil
	})
	require.NoError(t, err)
	assert.Equal(t, 1, n)
}

func TestAPermanentErrorIsReturnedAtOnce(t *testing.T) {
	cause := retry.Permanent(errLost)
	n, err := retry.Do(t.Context(), retry.Policy{}, func(int, time.Duration, error) {
		assert.Fail(t, "retried")
	}, func(context.Context, int) (bool, error) { return true, cause })
	assert.Equal(t, cause, err)
	assert.Equal(t, 1, n)
}

func TestMaxRetriesBoundsTheAttempts(t *testing.T) {
	for _, c := range []struct{ maxRetries, attempts int }{{0, 4}, {1, 2}, {5, 6}, {-1, 1}} {
		synctest.Test(t, func(t *testing.T) {
			n, err := retry.Do(t.Context(), retry.Policy{MaxRetries: c.maxRetries}, nil, never)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			assert.Equal(t, c.attempts, n, "MaxRetries %d", c.maxRetries)
		})
	}
}

func TestAQuestionIsAskedAgainOnlyWhileTheAnswerIsNotNow(t *testing.T) {
	for what, c := range map[string]struct {
		code, asked int
		usable      bool
	}{
		"not now":                      {450, 4, true},
		"no":                           {550, 1, true},
		"and the connection is closed": {421, 1, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			err := retry.Ask(t.Context(), retry.Policy{}, func() bool { return c.usable }, func(context.Context) error {
				asked++
				return answer("SIZE", c.code, what)
			})
			require.ErrorContains(t, err, what)
			assert.Equal(t, c.asked, asked, what)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := retry.Ask(ctx, retry.Policy{}, func() bool { return true }, func(context.Context) error {
		cancel()
		return answer("SIZE", 450, "not now")
	})
	require.ErrorIs(t, err, context.Canceled)
}

func TestWithoutRetriesProgressBuysNone(t *testing.T) {
	n, err := retry.Do(t.Context(), retry.Policy{MaxRetries: -1}, nil, func(context.Context, int) (bool, error) {
		return true, errLost
	})
	require.ErrorIs(t, err, errLost)
	assert.Equal(t, 1, n)
}

func TestProgressGivesTheWholePolicyAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []int
		n, err := retry.Do(t.Context(), retry.Policy{MaxRetries: 2}, nil, func(_ context.Context, n int) (bool, error) {
			attempts = append(attempts, n)
			return n <= 10 && n%2 == 0, errLost
		})
		require.ErrorIs(t, err, errLost)
		assert.Equal(t, 12, n, "two more after the last progress in the tenth")
		assert.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, attempts)
	})
}

func TestTheDelayDoublesUpToItsLimitWithFullJitter(t *testing.T) {
	const s = time.Second
	limits := []time.Duration{1 * s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s}
	low, high := make([]float64, len(limits)), make([]float64, len(limits))
	for i := range low {
		low[i] = 1
	}
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			failed := time.Now()
			_, err := retry.Do(t.Context(), retry.Policy{MaxRetries: len(limits)}, func(n int, wait time.Duration, err error) {
				require.ErrorIs(t, err, errLost)
				limit := limits[n-1]
				require.Positive(t, wait)
				require.LessOrEqual(t, wait, limit)
				part := float64(wait) / float64(limit)
				low[n-1], high[n-1] = min(low[n-1], part), max(high[n-1], part)
				failed = time.Now().Add(wait)
			}, func(context.Context, int) (bool, error) {
				assert.Equal(t, failed, time.Now(), "the wait is what was announced")
				return false, errLost
			})
			require.ErrorIs(t, err, errLost)
		})
	}
	for i := range limits {
		assert.Less(t, low[i], 0.2, "retry %d: jitter reaches down", i+1)
		assert.Greater(t, high[i], 0.8, "retry %d: jitter reaches up", i+1)
	}
}

func TestProgressResetsTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := retry.Do(t.Context(), retry.Policy{MaxRetries: 3, Delay: time.Millisecond, MaxDelay: time.Hour},
			func(n int, wait time.Duration, _ error) {
				if n > 1 {
					assert.LessOrEqual(t, wait, time.Millisecond)
				}
			}, func(_ context.Context, n int) (bool, error) {
				if n == 50 {
					return false, nil
				}
				return n > 1, errLost
			})
		require.NoError(t, err)
	})
}

func TestADelayAboveItsLimitIsTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := retry.Do(t.Context(), retry.Policy{MaxRetries: 100, Delay: time.Hour, MaxDelay: time.Second},
			func(_ int, wait time.Duration, _ error) { assert.LessOrEqual(t, wait, time.Second) }, never)
		require.ErrorIs(t, err, errLost)
	})
}

func TestAnEndedContextStartsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n, err := retry.Do(ctx, retry.Policy{}, nil, func(context.Context, int) (bool, error) {
		assert.Fail(t, "started")
		return false, nil
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, n)
}

func TestTheContextEndsAWaitAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		n, err := retry.Do(ctx, retry.Policy{Delay: time.Hour, MaxDelay: time.Hour}, func(int, time.Duration, error) { cancel() }, never)
		assert.Equal(t, start, time.Now())
		assert.Equal(t, 1, n)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, io.ErrUnexpectedEOF, "cancelled, and not a lost connection")
		assert.ErrorContains(t, err, errLost.Error(), "but one may read what had failed")
	})
}

func TestADeadlineEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		defer cancel()
		_, err := retry.Do(ctx, retry.Policy{Delay: time.Hour, MaxDelay: time.Hour}, nil, never)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestAContextThatEndsDuringAnAttemptWinsOverItsFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n, err := retry.Do(ctx, retry.Policy{}, func(int, time.Duration, error) {
		assert.Fail(t, "a retry was announced")
	}, func(context.Context, int) (bool, error) {
		cancel()
		return true, errLost
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 1, n)
}

func TestAFinalAnswerWinsOverAContextThatEndedMeanwhile(t *testing.T) {
	final := errors.New("no such file")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := retry.Do(ctx, retry.Policy{}, nil, func(context.Context, int) (bool, error) {
		cancel()
		return false, final
	})
	assert.Equal(t, final, err)
}
