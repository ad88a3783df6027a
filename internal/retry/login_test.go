package retry_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/retry"
)

func TestARefusedLoginIsTriedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var login retry.Login
		tries := 0
		try := func(err error) error {
			return login.Try(func() error {
				tries++
				return err
			})
		}
		require.ErrorIs(t, try(errLost), errLost)
		require.NoError(t, try(nil))
		require.ErrorIs(t, try(reply.ErrAuth), reply.ErrAuth)
		require.ErrorIs(t, try(nil), reply.ErrAuth)
		assert.Equal(t, 3, tries)
		time.Sleep(time.Minute)
		require.NoError(t, try(nil))
	})
}
