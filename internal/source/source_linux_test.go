package source_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/source"
)

func TestAFileThatHasMoreThanItsSizeSaysIsNotWhole(t *testing.T) {
	s, err := source.Open("/proc/version") // of size 0, as most files there
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	require.NoError(t, s.Rewind(t.Context(), 0))
	_, err = io.Copy(io.Discard, s.Content())
	require.NoError(t, err)
	require.ErrorContains(t, s.Check(), "more than")
}
