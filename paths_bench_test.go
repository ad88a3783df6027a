package ftpclient_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func BenchmarkCopy(b *testing.B) {
	srv, client := benchServer(b)
	measure(b, srv, func() error {
		_, err := client.Copy(b.Context(), "srv", "big", "srv", "copy", nil)
		return err
	})
}

func BenchmarkOpen(b *testing.B) {
	srv, client := benchServer(b)
	measure(b, srv, func() error {
		f, err := client.Open(b.Context(), "srv", "big")
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, f)
		return errors.Join(err, f.Close())
	})
}

// BenchmarkResume continues a file of which more than half is there. Its rate is that of the whole file.
func BenchmarkResume(b *testing.B) {
	srv, client := benchServer(b)
	dir := b.TempDir()
	local, broken := filepath.Join(dir, "big"), errors.New("broken off")
	measure(b, srv, func() error {
		b.StopTimer()
		if err := os.Remove(local); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		ctx, cancel := context.WithCancelCause(b.Context())
		_, err := client.Download(ctx, "srv", "big", local, &ftpclient.TransferOptions{Progress: func(p ftpclient.Progress) {
			if p.Bytes > benchSize/2 {
				cancel(broken)
			}
		}, BytesPerSecond: benchSize})
		if err == nil {
			return errors.New("the first call was not broken off")
		}
		b.StartTimer()
		r, err := client.Download(b.Context(), "srv", "big", local, &ftpclient.TransferOptions{Resume: true})
		if err == nil && r.ResumedFrom == 0 {
			err = errors.New(r.RestartReason)
		}
		return err
	})
}

// treeFiles is how many files the benchmarks of whole trees have, in directories of ten.
const treeFiles = 1000

// measureTree is repeat of something done with a tree.
func measureTree(b *testing.B, srv *ftptest.Server, f func() error) {
	b.Helper()
	repeat(b, srv, f)
	b.ReportMetric(float64(b.N)*treeFiles/b.Elapsed().Seconds(), "files/s")
}

func BenchmarkRemoveAll(b *testing.B) {
	srv, client := benchServer(b)
	measureTree(b, srv, func() error {
		b.StopTimer()
		sow(b, filepath.Join(srv.Dir(), "there"), treeFiles)
		b.StartTimer()
		return client.RemoveAll(b.Context(), "srv", "there")
	})
}

// BenchmarkNothingNew is the second run of a nightly job.
func BenchmarkNothingNew(b *testing.B) {
	srv, client := benchServer(b)
	sow(b, filepath.Join(srv.Dir(), "there"), treeFiles)
	local := filepath.Join(b.TempDir(), "here")
	opts := &ftpclient.BatchOptions{TransferOptions: ftpclient.TransferOptions{Existing: ftpclient.SkipSame}}
	_, err := client.DownloadDir(b.Context(), "srv", "there", local, opts)
	require.NoError(b, err)
	for name, f := range map[string]func() error{
		"DownloadDir": func() error {
			r, err := client.DownloadDir(b.Context(), "srv", "there", local, opts)
			if err == nil && r.Skipped != treeFiles {
				err = errors.New("something was new")
			}
			return err
		},
		"UploadDir": func() error {
			r, err := client.UploadDir(b.Context(), "srv", local, "there", opts)
			if err == nil && r.Skipped != treeFiles {
				err = errors.New("something was new")
			}
			return err
		},
		"PlanMirror": func() error {
			plan, err := client.PlanMirror(b.Context(), "srv", "there", local, nil)
			if err == nil && len(plan.Actions) > 0 {
				err = errors.New("something was new")
			}
			return err
		},
	} {
		b.Run(name, func(b *testing.B) { measureTree(b, srv, f) })
	}
}
