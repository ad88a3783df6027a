package safepath_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/safepath"
)

func TestAnArgumentWithAControlByteIsRefused(t *testing.T) {
	for _, good := range []string{"", "a b", "/pub/中文", "-R", "*", "\xff\xfe", "a\u0085b"} {
		require.NoError(t, safepath.CheckArgument(good), "%q", good)
		require.NoError(t, safepath.CheckSecret(good), "%q", good)
	}
	for c := range 0x100 {
		s := "a" + string([]byte{byte(c)}) + "b"
		bad := c < 0x20 || c == 0x7f
		assert.Equal(t, bad, safepath.CheckArgument(s) != nil, "%#x", c)
		assert.Equal(t, bad, safepath.CheckSecret(s) != nil, "%#x", c)
	}
}

func TestANameToBeMadeIsOneThatAListingMayTell(t *testing.T) {
	for _, good := range []string{"", "/", "a", "a/", "..", "中文/a b", "\xff/a", "a\u0085/b//"} {
		require.NoError(t, safepath.CheckCreated(good), "%q", good)
	}
	for _, bad := range []string{"\xff", "a/\xff", "a/\xff//", "a\u0085b", "/\u009b", "a\nb/c", "a\x7f"} {
		require.ErrorIs(t, safepath.CheckCreated(bad), safepath.ErrUnsafe, "%q", bad)
	}
}

func TestAnErrorQuotesAndCapsTheNameAndHidesAPassword(t *testing.T) {
	err := safepath.CheckArgument("\x1b" + strings.Repeat("x", 10_000))
	require.ErrorIs(t, err, safepath.ErrUnsafe)
	assert.NotContains(t, err.Error(), "\x1b")
	assert.Less(t, len(err.Error()), 700)

	err = safepath.CheckSecret("hunter2\r\nDELE x")
	require.ErrorIs(t, err, safepath.ErrUnsafe)
	assert.NotContains(t, err.Error(), "hunter2")
}

func TestAListedNameIsOneComponent(t *testing.T) {
	for _, good := range []string{
		"a", "...", "..a", ".hidden", " leading", "trailing ", "a;b", `a"b`, "-R", "*", "[a]", "中文.txt", "😀", `a\b`, "a:b",
		"NUL", "\u00a0", "e\u0301",
	} {
		require.NoError(t, safepath.CheckListed(good), "%q", good)
	}
	for _, bad := range []string{
		"", ".", "..", "/", "a/b", "/etc/passwd", "../x", "a/", "a\x00", "a\nb", "a\rb", "\x1b[2J", "a\x7f", "a\u0080",
		"a\u009bb", "\xff", "a\xc0\xafb",
	} {
		require.ErrorIs(t, safepath.CheckListed(bad), safepath.ErrUnsafe, "%q", bad)
	}
}

func TestALocalNameIsSafeOnEverySystem(t *testing.T) {
	for _, windows := range []bool{false, true} {
		for _, good := range []string{"a", "...a", " leading", "a;b", "COM", "COM10", "LPT", "NULL", "CONSOLE.txt", "中文"} {
			require.NoError(t, safepath.CheckLocalOn(good, windows), "%q", good)
		}
		for _, bad := range []string{
			"", ".", "..", "a/b", `..\x`, `a\b`, "C:", "C:x", "file:stream", `\\server\share`, "a\x00",
			".a.k.ftpclient-part", ".A.K.FTPCLIENT-PART",
		} {
			require.ErrorIs(t, safepath.CheckLocalOn(bad, windows), safepath.ErrUnsafe, "%q", bad)
		}
	}
	for _, name := range []string{
		"CON", "con", "Nul.txt", "nul.tar.gz", "AUX", "PRN", "COM1", "com0.log", "LPT9", "COM¹", "lpt².x", "LPT³", "CONIN$",
		"CONOUT$", "clock$", "NUL ", "NUL .txt", "a.", "a ", "...", "a<b", "a>b", `a"b`, "a|b", "a?", "*",
	} {
		require.NoError(t, safepath.CheckLocalOn(name, false), "%q", name)
		require.ErrorIs(t, safepath.CheckLocalOn(name, true), safepath.ErrUnsafe, "%q", name)
	}
}

func TestHiddenNamesAreOursShortAndDistinct(t *testing.T) {
	assert.Equal(t, ".a.txt.k1.ftpclient-part", safepath.Hidden("a.txt", "k1", safepath.Part))
	long := strings.Repeat("é", 200)
	seen := make(map[string]bool)
	for _, base := range []string{"a", "", "..", long, long + "x", "x" + long, strings.Repeat("😀", 60), strings.Repeat("\x80", 300)} {
		for _, key := range []string{"k1", "k2", strings.Repeat("k", 300), strings.Repeat("k", 301)} {
			for _, suffix := range []string{safepath.Part, safepath.State, safepath.Lock, safepath.Old} {
				name := safepath.Hidden(base, key, suffix)
				assert.LessOrEqual(t, len(name), 200)
				assert.True(t, safepath.IsOurs(name), name)
				assert.True(t, utf8.ValidString(name) || !utf8.ValidString(base), "cut inside a character: %q", name)
				assert.False(t, seen[name], "%q twice", name)
				assert.Equal(t, name, safepath.Hidden(base, key, suffix), "the same name every time")
				seen[name] = true
			}
		}
	}
}

func TestOnlyOurNamesAreOurs(t *testing.T) {
	for _, name := range []string{"", "a", ".a", "ftpclient-part", "a.ftpclient-part", ".a.ftpclient-parts", ".ftpclient-part.x"} {
		assert.False(t, safepath.IsOurs(name), name)
	}
	for _, name := range []string{".x.y.ftpclient-lock", ".x.y.FtpClient-State", ".x.y.ftpclient-ſtate"} {
		assert.True(t, safepath.IsOurs(name), name)
	}
}

func TestTheSecondOfTwoNamesOfOneFileClashes(t *testing.T) {
	for _, c := range []struct {
		a, b          string
		same, folding bool // clash as bytes, clash where names fold
	}{
		{"dir/a", "dir/a", true, true},
		{"dir/a", "dir/A", false, true},
		{"\u00e9", "e\u0301", false, true},
		{"É", "e\u0301", false, true},
		{"straße", "STRASSE", false, true},
		{"Σ", "ς", false, true},
		{"a", "b", false, false},
		{"dir/a", "dira", false, false},
	} {
		for folding, want := range map[safepath.Folding]bool{safepath.FoldNone: c.same, safepath.FoldNames: c.folding} {
			names := safepath.Collisions{Folding: folding}
			_, clash := names.Add(c.a)
			require.False(t, clash)
			other, clash := names.Add(c.b)
			assert.Equal(t, want, clash, "%q %q %v", c.a, c.b, folding)
			if want {
				assert.Equal(t, c.a, other)
			}
		}
	}
}

func TestNamesFoldByDefaultWhereTheSystemFoldsThem(t *testing.T) {
	var names safepath.Collisions
	names.Add("a")
	_, clash := names.Add("A")
	assert.Equal(t, runtime.GOOS == "windows" || runtime.GOOS == "darwin", clash)
	_, clash = names.Add("a")
	assert.True(t, clash)
}

func FuzzCheckLocal(f *testing.F) {
	for _, s := range []string{"a", "..", `..\..\x`, "C:x", "a/../b", "NUL.txt", "\u202e", "a.", ".a.b.ftpclient-part", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if err := safepath.CheckLocal(name); err != nil {
			require.ErrorIs(t, err, safepath.ErrUnsafe)
			require.Error(t, safepath.CheckLocalOn(name, true), "Windows allows nothing more")
			return
		}
		dir := filepath.Join(string(filepath.Separator), "some", "dir")
		full := filepath.Join(dir, name)
		require.True(t, filepath.IsLocal(name))
		require.Equal(t, dir, filepath.Dir(full))
		require.Equal(t, name, filepath.Base(full))
		require.NoError(t, safepath.CheckArgument(name))
		require.True(t, fsOf(t).allowed(name))
	})
}

// rooted is a directory to try names in that can be left by no name.
type rooted struct{ root *os.Root }

func fsOf(t *testing.T) rooted {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { _ = root.Close() })
	return rooted{root}
}

// allowed tells whether a name makes one file, or is too long for any.
func (r rooted) allowed(name string) bool {
	file, err := r.root.Create(name)
	if err != nil {
		return len(name) > 255
	}
	_ = file.Close()
	_, err = r.root.Lstat(name)
	return err == nil
}

func TestNamesThatLandOnOneFileAreFoundTogether(t *testing.T) {
	names := []string{"a", "b", "A", "a", "c"}
	name := func(i int) string { return names[i] }
	assert.Equal(t, []bool{true, false, false, true, false}, safepath.Shared(len(names), nil, name))
	for folds, want := range map[bool][]bool{false: {true, false, false, true, false}, true: {true, false, true, true, false}} {
		asked := 0
		assert.Equal(t, want, safepath.Shared(len(names), func() bool { asked++; return folds }, name))
		assert.Equal(t, 1, asked)
	}
	assert.Equal(t, []bool{true, true}, safepath.Shared(2, func() bool { panic("asked of nothing") }, func(int) string { return "a" }))
}

func TestAFolderIsAskedWhetherItTakesNamesForOne(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, root.Close()) }()
	require.NoError(t, root.Mkdir("below", 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "below", "x"), nil, 0o600))
	_, err = root.Lstat("below/X")
	for _, in := range []string{".", "below"} {
		assert.Equal(t, err == nil, safepath.Folds(root, in))
	}
	assert.Equal(t, runtime.GOOS == "windows" || runtime.GOOS == "darwin", safepath.Folds(root, "absent"))
	for _, in := range []string{".", "below"} {
		left, err := os.ReadDir(filepath.Join(dir, in))
		require.NoError(t, err)
		assert.Len(t, left, 1, "nothing of ours")
	}
}

func TestATargetThatComesAgainIsRecognised(t *testing.T) {
	var targets safepath.Targets
	for _, c := range []struct {
		server, path string
		again        bool
	}{{"", "/a", false}, {"s", "/a", false}, {"", "/a", true}, {"s", "/b", false}, {"s", "/a", true}} {
		assert.Equal(t, c.again, targets.Again(c.server, c.path), c)
	}
	for i := range 131_000 {
		require.False(t, targets.Again("s", strconv.Itoa(i)))
	}
	assert.True(t, targets.Again("", "/a"))
	for i := range 500_000 {
		targets.Again("t", strconv.Itoa(i))
	}
	assert.False(t, targets.Again("s", "/b"), "that was too long ago to be remembered")
}
