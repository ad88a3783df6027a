package ftpclient_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestAChecksumFileOfTheServerTellsWhatToExpectOfTheFilesBesideIt(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	one, two := randomBytes(t, 1000), randomBytes(t, 2000)
	put(t, srv, "pub/one", one)
	put(t, srv, "pub/sub dir/two", two)
	put(t, srv, "pub/SHA256SUMS", []byte(digestOf(t, "SHA-256", one)+"  one\n"+
		digestOf(t, "SHA-256", two)+" *./sub dir/two\n"+strings.Repeat("0", 64)+"  ../outside\n"))
	put(t, srv, "pub/wrong.md5", []byte(digestOf(t, "MD5", two)+"  one\n"))
	sums, err := client.LoadChecksums(t.Context(), "srv", "pub/SHA256SUMS")
	require.NoError(t, err)
	assert.Len(t, sums, 3)
	for name, content := range map[string][]byte{"pub/one": one, "pub/sub dir/two": two, "pub/./sub dir//two": two} {
		local := filepath.Join(t.TempDir(), "f")
		result, err := client.Download(t.Context(), "srv", name, local, &ftpclient.TransferOptions{Expected: sums.Expect(name)})
		require.NoError(t, err)
		assert.Equal(t, "SHA-256 expected", result.Verification.String())
		onlyFile(t, local, content)
	}
	for _, unknown := range []string{"pub/none", "one", "outside", "pub/outside", "sub dir/two", "/pub/one"} {
		assert.Zero(t, sums.Expect(unknown), unknown)
	}
	assert.NotZero(t, sums.Expect("../outside"), "a key and nothing more")

	sums, err = client.LoadChecksums(t.Context(), "srv", "pub/wrong.md5")
	require.NoError(t, err)
	local := filepath.Join(t.TempDir(), "f")
	_, err = client.Download(t.Context(), "srv", "pub/one", local, &ftpclient.TransferOptions{Expected: sums.Expect("pub/one")})
	require.ErrorIs(t, err, ftpclient.ErrMismatch)
	assert.NoFileExists(t, local)
}

func TestAChecksumFileThatCannotBeReadIsAnError(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "page", []byte("<html>\n"))
	_, err := client.LoadChecksums(t.Context(), "srv", "page")
	require.ErrorContains(t, err, "line 1: ")
	var ftpErr *ftpclient.Error
	require.ErrorAs(t, err, &ftpErr)
	assert.Equal(t, "page", ftpErr.Path)
	_, err = client.LoadChecksums(t.Context(), "srv", "absent")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = ftpclient.LoadChecksums(strings.NewReader("hello\n"))
	require.ErrorContains(t, err, "line 1: ")
	put(t, srv, "huge", bytes.Repeat([]byte("# nothing\n"), 7<<20))
	_, err = client.LoadChecksums(t.Context(), "srv", "huge")
	require.ErrorContains(t, err, "no checksum file")
}

func TestChecksumsMoveIntoAFolderUnlessTheirNamesLeadOutOfIt(t *testing.T) {
	sum := ftpclient.Checksum{Algorithm: "MD5", Digest: strings.Repeat("0", 32)}
	got := ftpclient.Checksums{"a": sum, "d/../b": sum, "../c": sum, "d/../../e": sum, "/f": sum, "..": sum, "...": sum}.In("/pub")
	assert.Equal(t, ftpclient.Checksums{"/pub/a": sum, "/pub/b": sum, "../c": sum, "d/../../e": sum, "/f": sum, "..": sum, "/pub/...": sum}, got)
	assert.Contains(t, ftpclient.Checksums{"a": sum}.In("."), "a")
}

// A disk that flips a bit leaves size and time as they are.
func TestAFileThatLooksTheSameIsNotIfItIsNotWhatIsExpected(t *testing.T) {
	content, flipped := randomBytes(t, 1000), randomBytes(t, 1000)
	flipped[0] = content[0] ^ 1
	type call func(client *ftpclient.Client, local string, opts *ftpclient.TransferOptions) (*ftpclient.Result, error)
	download := func(client *ftpclient.Client, local string, opts *ftpclient.TransferOptions) (*ftpclient.Result, error) {
		return client.Download(t.Context(), "a", "g", local, opts)
	}
	upload := func(client *ftpclient.Client, local string, opts *ftpclient.TransferOptions) (*ftpclient.Result, error) {
		return client.Upload(t.Context(), "a", local, "g", opts)
	}
	duplicate := func(client *ftpclient.Client, _ string, opts *ftpclient.TransferOptions) (*ftpclient.Result, error) {
		return client.Copy(t.Context(), "b", "g", "a", "g", opts)
	}
	for what, tt := range map[string]struct {
		call    call
		here    []byte // the local file, and the other server's
		expects []byte // nil: nothing
		skipped bool
		err     error
	}{
		"download": {download, content, content, true, nil}, "of another": {download, flipped, content, false, nil}, "of any": {download, flipped, nil, true, nil},
		"upload": {upload, content, content, true, nil}, "from another": {upload, flipped, content, false, ftpclient.ErrMismatch}, "from any": {upload, flipped, nil, true, nil},
		"copy": {duplicate, content, content, true, nil}, "copy of another": {duplicate, flipped, content, false, ftpclient.ErrMismatch}, "copy of any": {duplicate, flipped, nil, true, nil},
	} {
		there, other, client := two(t, ftptest.Options{}, ftptest.Options{})
		local := localFile(t, tt.here)
		put(t, there, "g", content)
		put(t, other, "g", tt.here)
		at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
		for _, name := range []string{local, filepath.Join(there.Dir(), "g"), filepath.Join(other.Dir(), "g")} {
			require.NoError(t, os.Chtimes(name, at, at))
		}
		opts := &ftpclient.TransferOptions{Existing: ftpclient.SkipSame}
		if tt.expects != nil {
			opts.SHA256 = sha(tt.expects)
		}
		result, err := tt.call(client, local, opts)
		assert.Equal(t, tt.skipped, result.Skipped, what)
		if tt.err != nil {
			require.ErrorIs(t, err, tt.err, what)
		} else {
			require.NoError(t, err, what)
		}
		assert.Equal(t, content, stored(t, there, "g"), what)
		if what == "of another" {
			onlyFile(t, local, content)
		}
	}
}
