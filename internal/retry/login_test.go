package retry_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/retry"
)

// logins is a Login that is tried with the outcome err, and how often it was.
func logins() (try func(err error) error, tries *int) {
	var login retry.Login
	tries = new(int)
	return func(err error) error {
		return login.Try(func() error {
			*tries++
			return err
		})
	}, tries
}

func TestARefusedLoginIsTriedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		try, tries := logins()
		require.ErrorIs(t, try(errLost), errLost)
		require.NoError(t, try(nil))
		require.ErrorIs(t, try(reply.ErrAuth), reply.ErrAuth)
		require.ErrorIs(t, try(nil), reply.ErrAuth)
		assert.Equal(t, 3, *tries)
		time.Sleep(time.Minute)
		require.NoError(t, try(nil))
	})
}

func TestAPasswordThatIsNotAnsweredIsRefusedUnlessItWasAcceptedBefore(t *testing.T) {
	silence := fmt.Errorf("%w: %w", reply.ErrUnanswered, errLost)
	synctest.Test(t, func(t *testing.T) {
		try, tries := logins()
		assert.True(t, retry.Retryable(try(silence)), "it may be the line")
		for minute := range 3 {
			for range 5 {
				err := try(silence)
				require.ErrorIs(t, err, reply.ErrUnanswered)
				assert.False(t, retry.Retryable(err))
			}
			assert.Equal(t, 2+minute, *tries)
			time.Sleep(time.Minute)
		}
		require.NoError(t, try(nil))
		for range 5 {
			assert.True(t, retry.Retryable(try(silence)), "it was right")
		}
		require.ErrorIs(t, try(reply.ErrAuth), reply.ErrAuth)
		time.Sleep(time.Minute)
		assert.True(t, retry.Retryable(try(silence)))
		assert.False(t, retry.Retryable(try(silence)), "it was right once")
	})
}
