package ftpclient_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestADirectoryThatCannotBeMadeIsCountedOnce(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "MKD", Path: "there/a", Do: ftptest.Refuse, Reply: "550 no"}}})
	put(t, srv, "there/x", []byte("x"))
	local := t.TempDir()
	for _, name := range []string{"a/f", "b", "c"} {
		require.NoError(t, writeAll(filepath.Join(local, name), name))
	}
	plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(directions[1]))
	require.NoError(t, err)
	indexes := map[int]int{}
	result, err := client.Apply(t.Context(), plan, &ftpclient.BatchOptions{OnFile: func(e ftpclient.FileEvent) {
		if e.Done {
			indexes[e.Index]++
		}
	}})
	require.Error(t, err)
	assert.Equal(t, [3]int{4, 2, 2}, [3]int{result.Total, result.Succeeded, result.Failed})
	assert.Equal(t, map[int]int{1: 1, 2: 1, 3: 1, 4: 1}, indexes)
}
