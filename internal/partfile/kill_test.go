package partfile_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"io"
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

// download moves content(seed) into "target", continuing what it finds, and tells of every chunk. When all
// are written and no checkpoint runs it says so, and commits once its standard input ends.
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
		err = f.SetDigest(context.Background(), "SHA-256", sha256.New())
	}
	data := content(seed, killSize)
	for err == nil && f.Offset() < killSize {
		off := f.Offset()
		_, err = f.Write(data[off:min(off+killChunk, killSize)])
		fmt.Println(off)
	}
	f.Wait()
	fmt.Println("written")
	if err == nil {
		_, err = io.Copy(io.Discard, os.Stdin)
	}
	if err == nil {
		err = f.Commit(partfile.CommitOptions{ModTime: then})
	}
	return errors.Join(err, f.Close())
}

func TestAKilledProcessLeavesAWholeTargetAndATruePartial(t *testing.T) {
	root := openRoot(t)
	seed := uint64(1)
	data := content(seed, killSize)
	whole := []byte(nil) // what the target had before this seed; nil: nothing
	for round := range 20 {
		p := run(t, "download", root.Name(), strconv.FormatUint(seed, 10))
		how := round % endings
		end(t, p, root, how)

		target, err := os.ReadFile(path(root, "target"))
		if errors.Is(err, fs.ErrNotExist) {
			target, err = nil, nil
		}
		require.NoError(t, err)
		done := bytes.Equal(data, target)
		if !done {
			require.True(t, bytes.Equal(whole, target), "the target is neither the old file nor the new one")
		}
		partial := checkPartial(t, root, seed, data)
		switch how {
		case killWritten:
			require.True(t, partial, "the checkpoint is lost")
		case finish:
			require.True(t, done, "the finished target is lost")
		}
		if done {
			whole, seed = target, seed+1
			data = content(seed, killSize)
		}
	}
}

// How a round ends its download: with a kill at a random moment, or where no speed of machine or disk makes a difference.
const (
	killWriting    = iota // also within a checkpoint
	killWritten           // a checkpoint is behind it
	killCommitting        // or shortly before or after
	finish                // no kill
	endings
)

func end(t *testing.T, p *process, root *os.Root, how int) {
	t.Helper()
	last := killSize / killChunk
	if how == killWriting {
		last = rand.IntN(last)
	}
	for chunk := 0; p.out.Scan() && p.out.Text() != "written" && chunk < last; chunk++ {
	}
	if how == killCommitting || how == finish {
		require.NoError(t, p.in.Close())
	}
	if how == finish {
		require.NoError(t, p.Wait())
		return
	}
	if how == killCommitting {
		for range rand.IntN(100) {
			names(t, root)
		}
	}
	_ = p.Process.Kill()
	_ = p.Wait()
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
	require.True(t, bytes.Equal(prefix, partial[:s.Offset]), "the durable bytes are not the file's")
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
	require.ErrorIs(t, err, partfile.ErrInUse)
	other, err := partfile.Open(root, "other", source)
	require.NoError(t, err)
	require.NoError(t, other.Close())

	require.NoError(t, p.in.Close())
	require.NoError(t, p.Wait())
	require.NoError(t, open(t, root).Close())
	assert.Empty(t, names(t, root))
}

func TestAKilledHolderDoesNotKeepTheTarget(t *testing.T) {
	root := openRoot(t)
	p := run(t, "hold", root.Name())
	require.True(t, p.out.Scan())
	require.NoError(t, p.Process.Kill())
	_ = p.Wait()
	require.Len(t, names(t, root), 1, "the lock file stayed")
	require.NoError(t, open(t, root).Close())
	assert.Empty(t, names(t, root))
}

func TestProcessesThatComeAndGoNeverShareTheTarget(t *testing.T) {
	root := openRoot(t)
	var all []*process
	for range 3 {
		all = append(all, run(t, "contend", root.Name()))
	}
	for _, p := range all {
		require.NoError(t, p.Wait())
	}
	assert.Empty(t, names(t, root))
}
