package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

const remote = "backups/disk.img"

// upload generates the file and stores it on the server.
func (d *demo) upload(ctx context.Context) error {
	d.source = filepath.Join(d.dir, "disk.img")
	if err := generate(d.source, d.size); err != nil {
		return err
	}
	sum, err := digest(d.source)
	if err != nil {
		return err
	}
	d.sha256 = sum

	result, err := d.client.Upload(ctx, "demo", d.source, remote, &ftpclient.TransferOptions{
		Progress: ftpclient.NewProgressBar(d.out),
	})
	if err != nil {
		return err
	}
	d.say("   Stored in %.1f s. It had a hidden name until the server held every byte.",
		result.Elapsed.Seconds())
	return nil
}

// downloadOverABrokenLine needs one call: drops heal inside it.
func (d *demo) downloadOverABrokenLine(ctx context.Context) error {
	cut := d.size * 2 / 5
	d.server.SetFaults(ftptest.Fault{Cmd: "RETR", Do: ftptest.CutData, After: cut, Times: 1})
	defer d.server.SetFaults()

	result, err := d.client.Download(ctx, "demo", remote, d.copy(1), &ftpclient.TransferOptions{
		Progress: ftpclient.NewProgressBar(d.out),
	})
	if err != nil {
		return err
	}
	if result.Attempts < 2 || result.Transferred >= d.size+cut {
		return fmt.Errorf("%d attempts moved %d bytes: the cut was not seen, or not healed", result.Attempts, result.Transferred)
	}
	d.say("   The connection broke after %s. The same call went on from there, in", megabytes(cut))
	d.say("   attempt %d: it moved %s for a file of %s, as the bytes just before", result.Attempts,
		megabytes(result.Transferred), megabytes(result.Bytes))
	d.say("   the break were fetched twice, and compared.")
	return nil
}

// cancelAndResume needs two calls, as after a crash or a reboot.
func (d *demo) cancelAndResume(ctx context.Context) error {
	half, cancel := context.WithCancel(ctx)
	defer cancel()
	bar := ftpclient.NewProgressBar(d.out)
	_, err := d.client.Download(half, "demo", remote, d.copy(2), &ftpclient.TransferOptions{
		Progress: func(p ftpclient.Progress) {
			bar(p)
			if p.Bytes >= d.size/2 {
				cancel()
			}
		},
	})
	if ctx.Err() != nil || !errors.Is(err, context.Canceled) {
		return fmt.Errorf("the call should have been cancelled half way: %w", errors.Join(ctx.Err(), err))
	}
	if _, err := os.Stat(d.copy(2)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("a cancelled download left something under its name: %w", err)
	}
	d.say("   Cancelled. There is no half a file: what came is kept in a hidden one.")

	result, err := d.client.Download(ctx, "demo", remote, d.copy(2), &ftpclient.TransferOptions{
		Resume:   true,
		SHA256:   d.sha256,
		Progress: bar,
	})
	if err != nil {
		return err
	}
	if result.ResumedFrom == 0 {
		return fmt.Errorf("nothing was kept: %s", result.RestartReason)
	}
	d.say("   The second call, with Resume, kept %s, proved to be of the same file,", megabytes(result.ResumedFrom))
	d.say("   and moved %s. Before the file got its name it was checked:", megabytes(result.Transferred))
	d.say("   %s.", result.Verification)
	return nil
}

// verify trusts nobody, and reads all files once more.
func (d *demo) verify(context.Context) error {
	stored := filepath.Join(d.server.Dir(), filepath.FromSlash(remote))
	for _, name := range []string{stored, d.copy(1), d.copy(2)} {
		sum, err := digest(name)
		if err != nil {
			return err
		}
		if sum != d.sha256 {
			return fmt.Errorf("%s has SHA-256 %s, want %s", name, sum, d.sha256)
		}
	}
	d.say("   SHA-256 of the original, the server's file and both copies: all equal,")
	d.say("   %s", d.sha256)
	return nil
}

// list adds small files and shows what the server has.
func (d *demo) list(ctx context.Context) error {
	for _, name := range []string{"notes.txt", "报告 2026.txt"} {
		if _, err := d.client.UploadFrom(ctx, "demo", strings.NewReader("hello, "+name), "texts/"+name, nil); err != nil {
			return err
		}
	}
	for _, dir := range []string{"", "backups", "texts"} {
		entries, err := d.client.List(ctx, "demo", dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			what := "folder"
			if !e.IsDir() {
				what = fmt.Sprintf("%d bytes", e.Size)
			}
			d.say("   %14s  %s", what, e.Path)
		}
	}
	return nil
}

const smallFiles = 200

// downloadFolder moves many files with one call. A second call finds out that there is nothing to do.
func (d *demo) downloadFolder(ctx context.Context) error {
	for i := range smallFiles {
		name := filepath.Join(d.server.Dir(), "photos", fmt.Sprintf("album-%d", i/50+1), fmt.Sprintf("%03d.jpg", i+1))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := generate(name, 4096); err != nil {
			return err
		}
	}
	opts := &ftpclient.BatchOptions{TransferOptions: ftpclient.TransferOptions{
		Existing: ftpclient.SkipSame,
		Progress: ftpclient.NewProgressBar(d.out),
	}}
	local := filepath.Join(d.dir, "photos")
	first, err := d.client.DownloadDir(ctx, "demo", "photos", local, opts)
	if err != nil {
		return err
	}
	opts.Progress = nil
	second, err := d.client.DownloadDir(ctx, "demo", "photos", local, opts)
	if err != nil {
		return err
	}
	if first.Succeeded != smallFiles || second.Skipped != smallFiles {
		return fmt.Errorf("%d files came, and %d were the same afterwards", first.Succeeded, second.Skipped)
	}
	d.say("   %d files in %.1f s. Called once more, it saw by the listings that all of", first.Succeeded, first.Elapsed.Seconds())
	d.say("   them are the same, and moved nothing, in %.1f s.", second.Elapsed.Seconds())
	return nil
}

// copy is the local path of the nth download.
func (d *demo) copy(n int) string { return filepath.Join(d.dir, fmt.Sprintf("copy-%d.img", n)) }

// generate writes bytes that do not repeat.
func generate(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{}), size)
	return errors.Join(err, f.Close())
}

// digest is the SHA-256 of a file, in hex.
func digest(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
