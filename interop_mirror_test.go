//go:build interop && linux

package ftpclient_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/interop"
)

func TestInteropAMirrorUpHasNothingToDoAgain(t *testing.T) {
	for _, server := range []string{interop.VSFTPD, interop.ProFTPD, interop.PureFTPD} {
		for _, zone := range []string{"", "Asia/Tokyo"} {
			t.Run(server+zone, func(t *testing.T) {
				x := realTarget(t, interop.Cell{Server: server, TLS: interop.Plain})
				client := x.client(t, func(c *ftpclient.ServerConfig) { c.TimeZone, c.DisableMLSD = zone, zone != "" })
				local, changed := t.TempDir(), 0
				names := []string{".env", "sub/.env", ".git/HEAD", "f"}
				if server == interop.PureFTPD {
					names, changed = append(names, "trailing "), 1 // which it stores as trailing_
				}
				for i := range 150 {
					names = append(names, fmt.Sprintf(".git/objects/%03d", i))
				}
				for _, name := range names {
					require.NoError(t, writeAll(filepath.Join(local, name), name))
					age(t, local, name, 50*time.Hour)
				}
				mirror := func() *ftpclient.Plan {
					plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(directions[1], deletes))
					require.NoError(t, err)
					_, err = client.Apply(t.Context(), plan, nil)
					require.NoError(t, err)
					return plan
				}
				mirror()
				want := grown(t, filepath.Join(x.dir, "there"))
				require.Len(t, want, len(names))
				again := mirror()
				copies, _ := again.Copies()
				assert.Equal(t, changed, copies, "%s", again)
				assert.Equal(t, want, grown(t, filepath.Join(x.dir, "there")))

				for i := range 100 {
					require.NoError(t, writeAll(filepath.Join(x.dir, fmt.Sprintf("there/old/%03d", i)), "old"))
				}
				require.NoError(t, os.Symlink("../f", filepath.Join(x.dir, "there/old/link")))
				x.own()
				last := mirror()
				assert.Len(t, last.Actions, len(again.Actions)+102, "%s", last)
				assert.Equal(t, want, grown(t, filepath.Join(x.dir, "there")))
			})
		}
	}
}
