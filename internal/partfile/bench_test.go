package partfile_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/partfile"
)

// BenchmarkWrite compares 256 MiB in buffers of 256 KiB through a File with the same through a bare os.File. Set TMPDIR to a
// tmpfs to see the File's own cost rather than the disk's.
func BenchmarkWrite(b *testing.B) {
	const size = 256 * mib
	buf := content(1, 256<<10)
	b.Run("bare", func(b *testing.B) {
		root := openRoot(b)
		b.SetBytes(size)
		for b.Loop() {
			f, err := root.OpenFile("bare", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
			require.NoError(b, err)
			for range size / len(buf) {
				_, err = f.Write(buf)
				require.NoError(b, err)
			}
			require.NoError(b, f.Close())
			require.NoError(b, root.Remove("bare"))
		}
	})
	b.Run("partfile", func(b *testing.B) {
		root := openRoot(b)
		b.SetBytes(size)
		for b.Loop() {
			f, err := partfile.Open(root, "target", source)
			require.NoError(b, err)
			require.NoError(b, f.Start(about(size)))
			for range size / len(buf) {
				_, err = f.Write(buf)
				require.NoError(b, err)
			}
			require.NoError(b, f.Discard())
			require.NoError(b, f.Close())
		}
	})
}

// BenchmarkSmallFile is what a file of 4 KiB costs from the lock to the commit, beside a bare file that is renamed.
func BenchmarkSmallFile(b *testing.B) {
	buf := content(1, 4<<10)
	b.Run("bare", func(b *testing.B) {
		root := openRoot(b)
		b.ReportAllocs()
		for b.Loop() {
			f, err := root.OpenFile("part", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
			require.NoError(b, err)
			_, err = f.Write(buf)
			require.NoError(b, err)
			require.NoError(b, f.Sync())
			require.NoError(b, f.Close())
			require.NoError(b, root.Rename("part", "target"))
			require.NoError(b, root.Remove("target"))
		}
	})
	b.Run("partfile", func(b *testing.B) {
		root := openRoot(b)
		b.ReportAllocs()
		for b.Loop() {
			f, err := partfile.Open(root, "target", source)
			require.NoError(b, err)
			require.NoError(b, f.Start(about(len(buf))))
			_, err = f.Write(buf)
			require.NoError(b, err)
			require.NoError(b, f.Commit(partfile.CommitOptions{}))
			require.NoError(b, root.Remove("target"))
		}
	})
}
