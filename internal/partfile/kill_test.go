package partfile_test

import (
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/partfile"
)

const (
	killSize  = 18 << 20
	killChunk = 64 << 10
)

// download moves content(seed) into "target", continuing what it finds, and tells of every chunk.
func download(dir string, args []string) error {
	seed, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	f, err := partfile.Open(root, "target", source)
	if err != nil {
		return err
	}
	want := partfile.State{Size: killSize, ModTime: then, Unique: args[0]}
	if s, serr := f.Saved(); serr == nil && s.Unique == want.Unique {
		err = f.Continue(s)
	} else {
		err = f.Start(want)
	}
	if err == nil {
		err = f.SetDigest("SHA-256", sha256.New())
	}
	data := content(seed, killSize)
	for err == nil && f.Offset() < killSize {
		off := f.Offset()
		_, err = f.Write(data[off:min(off+killChunk, killSize)])
		fmt.Println(off)
	}
	if err == nil {
		err = f.Commit(partfile.CommitOptions{ModTime: then})
	}
	return errors.Join(err, f.Close())
}

func TestAKilledProcessLeavesAWholeTargetAndATruePartial(t *testing.T) {
	root := openRoot(t)
	var continued, committed int
	seed := uint64(1)
	data := content(seed, killSize)
	whole := []byte(nil) // what the target had before this seed; nil: nothing
	for range 20 {
		p := run(t, "download", root.Name(), strconv.FormatUint(seed, 10))
		for range rand.IntN(killSize/killChunk + 20) {
			if !p.out.Scan() {
				break
			}
		}
		_ = p.Process.Kill()
		_ = p.Wait()

		target, err := os.ReadFile(path(root, "target"))
		if errors.Is(err, fs.ErrNotExist) {
			target, err = nil, nil
		}
		require.NoError(t, err)
		done := string(target) == string(data)
		if !done {
			require.True(t, string(target) == string(whole), "the target is neither the old file nor the new one")
		}
		if checkPartial(t, root, seed, data) {
			continued++
		}
		if done {
			committed++
			whole, seed = target, seed+1
			data = content(seed, killSize)
		}
	}
	assert.Positive(t, continued, "no kill left a partial to continue")
	assert.Positive(t, committed, "no target was ever finished")
}

// checkPartial reports whether there is something to continue, after it made sure that it is right.
func checkPartial(t *testing.T, root *os.Root, seed uint64, data []byte) bool {
	t.Helper()
	f, err := partfile.Open(root, "target", source)
	require.NoError(t, err, "a dead process holds no lock")
	defer func() { require.NoError(t, f.Close()) }()
	s, err := f.Saved()
	if err != nil {
		return false
	}
	require.Equal(t, strconv.FormatUint(seed, 10), s.Unique)
	part, _, _ := f.Names()
	partial, err := os.ReadFile(path(root, part))
	require.NoError(t, err)
	prefix := data[:s.Offset]
	require.True(t, string(partial[:s.Offset]) == string(prefix), "the durable bytes are not the file's")
	h := sha256.New()
	require.NoError(t, h.(encoding.BinaryUnmarshaler).UnmarshalBinary(s.Digest))
	require.Equal(t, sum(prefix), h.Sum(nil), "the digest does not cover the durable bytes")
	return s.Offset > 0
}

func TestASecondProcessIsToldThatTheTargetIsInUse(t *testing.T) {
	root := openRoot(t)
	p := run(t, "hold", root.Name())
	require.True(t, p.out.Scan())
	_, err := partfile.Open(root, "target", source)
	assert.ErrorIs(t, err, partfile.ErrInUse)
	other, err := partfile.Open(root, "other", source)
	require.NoError(t, err)
	assert.NoError(t, other.Close())

	require.NoError(t, p.in.Close())
	require.NoError(t, p.Wait())
	assert.NoError(t, open(t, root).Close())
	assert.Empty(t, names(t, root))
}

func TestAKilledHolderDoesNotKeepTheTarget(t *testing.T) {
	root := openRoot(t)
	p := run(t, "hold", root.Name())
	require.True(t, p.out.Scan())
	require.NoError(t, p.Process.Kill())
	_ = p.Wait()
	require.Len(t, names(t, root), 1, "the lock file stayed")
	assert.NoError(t, open(t, root).Close())
	assert.Empty(t, names(t, root))
}

func TestProcessesThatComeAndGoNeverShareTheTarget(t *testing.T) {
	root := openRoot(t)
	var all []*process
	for range 3 {
		all = append(all, run(t, "contend", root.Name()))
	}
	for _, p := range all {
		assert.NoError(t, p.Wait())
	}
	assert.Empty(t, names(t, root))
}
