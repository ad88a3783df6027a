package ftpclient_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// refused is one clear error, of a call that did nothing.
func refused(t *testing.T, srv *ftptest.Server, err error, keys ...string) {
	t.Helper()
	var e *ftpclient.Error
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, fs.ErrInvalid)
	assert.False(t, ftpclient.Retryable(err))
	for _, key := range keys {
		assert.Contains(t, err.Error(), key+": ")
	}
	assert.Zero(t, srv.Stats().Conns, "nothing was asked for")
}

func TestTransferOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", []byte("content"))
	ctx, local := t.Context(), localFile(t, []byte("content"))
	digest := ftpclient.Checksum{Algorithm: "MD5", Digest: strings.Repeat("0", 32)}
	for key, opts := range map[string]ftpclient.TransferOptions{
		"Verify":          {Verify: 77},
		"Existing":        {Existing: 9},
		"Segments":        {Segments: -1},
		"BytesPerSecond":  {BytesPerSecond: -1},
		"SHA256":          {SHA256: "no hex"},
		"Expected":        {Expected: ftpclient.Checksum{Algorithm: "MD5", Digest: "0"}},
		"Retry.delay":     {Retry: &ftpclient.RetryPolicy{Delay: -1}},
		"Retry.max_delay": {Retry: &ftpclient.RetryPolicy{MaxDelay: -time.Second}},
	} {
		t.Run(key, func(t *testing.T) {
			into := filepath.Join(t.TempDir(), "new", "f")
			_, err := client.Download(ctx, "srv", "f", into, &opts)
			refused(t, srv, err, key)
			_, err = client.Upload(ctx, "srv", local, "g", &opts)
			refused(t, srv, err, key)
			_, err = client.DownloadTo(ctx, "srv", "f", &bytes.Buffer{}, &opts)
			refused(t, srv, err, key)
			_, err = client.UploadFrom(ctx, "srv", strings.NewReader("x"), "g", &opts)
			refused(t, srv, err, key)
			_, err = client.Copy(ctx, "srv", "f", "srv", "g", &opts)
			refused(t, srv, err, key)

			batch := &ftpclient.BatchOptions{TransferOptions: opts}
			_, err = client.DownloadFiles(ctx, "srv", []string{"f"}, filepath.Dir(into), batch)
			refused(t, srv, err, key)
			_, err = client.UploadFiles(ctx, "srv", []string{local}, "d", batch)
			refused(t, srv, err, key)
			assert.NoDirExists(t, filepath.Dir(into))
		})
	}
	_, err := client.Download(ctx, "srv", "f", local, &ftpclient.TransferOptions{SHA256: sha(nil), Expected: digest})
	refused(t, srv, err, "SHA256")
	_, err = client.Verify(ctx, "srv", "f", local, -1)
	refused(t, srv, err, "Verify")
	_, err = client.Download(ctx, "srv", "f", local, &ftpclient.TransferOptions{Verify: 77, Segments: -2})
	refused(t, srv, err, "Verify", "Segments") // all at once
	assert.Contains(t, err.Error(), "77 is no ftpclient.VerifyMode; Segments: -2 is negative")

	_, err = client.Download(ctx, "srv", "f", local, &ftpclient.TransferOptions{Retry: never()})
	assert.NoError(t, err, "less than no retries are none")
}

func TestBatchOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	ctx := t.Context()
	for key, opts := range map[string]*ftpclient.BatchOptions{
		"Workers":        {Workers: -1},
		"BatchSize":      {BatchSize: -1},
		"ReconnectEvery": {ReconnectEvery: -1},
		"Include":        {Include: []string{"[a"}},
		"Exclude":        {Exclude: []string{"[a"}},
	} {
		t.Run(key, func(t *testing.T) {
			into, from := filepath.Join(t.TempDir(), "new"), t.TempDir()
			_, err := client.DownloadFiles(ctx, "srv", []string{"f"}, into, opts)
			refused(t, srv, err, key)
			_, err = client.DownloadDir(ctx, "srv", "d", into, opts)
			refused(t, srv, err, key)
			_, err = client.Apply(ctx, &ftpclient.Plan{Server: "srv", RemoteDir: "d", LocalDir: into}, opts)
			refused(t, srv, err, key)
			_, err = client.UploadDir(ctx, "srv", from, "d", opts)
			refused(t, srv, err, key)
			_, err = client.Batch(ctx, slices.Values([]ftpclient.Job(nil)), opts)
			refused(t, srv, err, key)
			assert.NoDirExists(t, into)
		})
	}
	job := ftpclient.Job{Direction: 5, Server: "srv", Remote: "f", Local: filepath.Join(t.TempDir(), "f")}
	r, err := client.Batch(ctx, slices.Values([]ftpclient.Job{job}), nil)
	refused(t, srv, err, "Direction")
	assert.Len(t, r.Failures, 1, "of that job alone")

	none := &ftpclient.BatchOptions{MaxReconnects: -1, NoopInterval: -1}
	_, err = client.DownloadFiles(ctx, "srv", nil, t.TempDir(), none)
	assert.NoError(t, err, "less than 0 has a meaning there")
}

func TestWalkAndMirrorOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	ctx := t.Context()
	for key, opts := range map[string]*ftpclient.WalkOptions{
		"Workers":  {Workers: -1},
		"MaxDepth": {MaxDepth: -1},
		"Include":  {Include: []string{"[a"}},
	} {
		n := 0
		for _, err := range client.Walk(ctx, "srv", "", opts) {
			refused(t, srv, err, key)
			n++
		}
		assert.Equal(t, 1, n)
	}
	for key, opts := range map[string]*ftpclient.MirrorOptions{
		"Direction": {Direction: 5},
		"Compare":   {Compare: 3},
		"Exclude":   {Exclude: []string{"[a"}},
	} {
		_, err := client.PlanMirror(ctx, "srv", "", t.TempDir(), opts)
		refused(t, srv, err, key)
	}
	_, err := client.PlanMirror(ctx, "srv", "", t.TempDir(), &ftpclient.MirrorOptions{Include: []string{"[a"}})
	require.ErrorIs(t, err, doublestar.ErrBadPattern)
	made := ftpclient.Action{Kind: ftpclient.ActionMkdir, Remote: "d/e", Local: filepath.Join("l", "e"), IsDir: true}
	_, err = client.Apply(ctx, &ftpclient.Plan{Server: "srv", Direction: 5, RemoteDir: "d", LocalDir: "l", Actions: []ftpclient.Action{made}}, nil)
	refused(t, srv, err, "Direction")
}

func TestWhatACallIsAboutCannotBeLeftOut(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", []byte("x"))
	ctx := t.Context()
	for what, call := range map[string]func() (any, error){
		"there is no plan":           func() (any, error) { return client.Apply(ctx, nil, nil) },
		"there is no stream of jobs": func() (any, error) { return client.Batch(ctx, nil, nil) },
		"there is no writer":         func() (any, error) { return client.DownloadTo(ctx, "srv", "f", nil, nil) },
		"there is no reader":         func() (any, error) { return client.UploadFrom(ctx, "srv", nil, "g", nil) },
	} {
		result, err := call()
		require.ErrorIs(t, err, fs.ErrInvalid, what)
		require.ErrorContains(t, err, what)
		assert.NotContains(t, err.Error(), " :", what)
		assert.NotNil(t, result, what)
	}
	_, err := client.PlanMirror(ctx, "srv", "", "", nil)
	require.ErrorIs(t, err, fs.ErrInvalid, "a variable that was left empty must not empty the current folder")
	require.ErrorContains(t, err, "there is no local folder")
	assert.Equal(t, []string{"f"}, names(t, srv.Dir()), "nothing is left of what did not begin")
}

func TestAValueWithoutMeaningHasNoNameOfAnother(t *testing.T) {
	for want, value := range map[string]fmt.Stringer{
		"download": ftpclient.Down, "upload": ftpclient.Up, "Direction(5)": ftpclient.Direction(5), "Direction(-1)": ftpclient.Direction(-1),
		"final reply only": ftpclient.VerifiedNone, "expected digest": ftpclient.VerifiedExpected,
		"VerifyMethod(9)": ftpclient.VerifyMethod(9), "skip": ftpclient.ActionSkip, "ActionKind(4)": ftpclient.ActionKind(4),
	} {
		assert.Equal(t, want, value.String())
	}
	assert.Equal(t, "stat s", (&ftpclient.Error{Op: "stat", Server: "s"}).Error())
}

func TestAPlanThatIsIncompleteAndDeletesIsRefused(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "there/f", []byte("x"))
	gone := ftpclient.Action{Kind: ftpclient.ActionDelete, Remote: "there/f", Local: "here/f", Size: 1}
	plan := &ftpclient.Plan{
		Server: "srv", Direction: ftpclient.Up, RemoteDir: "there", LocalDir: "here", Incomplete: true, Actions: []ftpclient.Action{gone},
	}
	_, err := client.Apply(t.Context(), plan, nil)
	require.ErrorIs(t, err, fs.ErrInvalid)
	require.ErrorContains(t, err, "not everything was read")
	assert.Equal(t, []string{"f"}, names(t, filepath.Join(srv.Dir(), "there")))
}
