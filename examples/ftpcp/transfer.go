package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/corexalgo/ftpclient"
)

// transferFlags are those of every command that moves files.
type transferFlags struct {
	resume bool
}

func (f *transferFlags) register(flags *flag.FlagSet) {
	flags.BoolVar(&f.resume, "resume", false, "continue where an earlier call was broken off, if the file is still the same")
}

// options are the TransferOptions that the flags ask for.
func (f *transferFlags) options(t *tool) *ftpclient.TransferOptions {
	opts := &ftpclient.TransferOptions{Resume: f.resume}
	if !t.quiet && !t.verbose {
		opts.Progress = unlessInVain(t.bar())
	}
	return opts
}

// bar shows how transfers go. What would tear it is not said any more.
func (t *tool) bar() ftpclient.ProgressFunc {
	show := ftpclient.NewProgressBar(t.stderr)
	return func(p ftpclient.Progress) {
		t.drawing.Store(true)
		show(p)
	}
}

// unlessInVain begins to show a transfer when its first bytes move, it is tried again or a second has passed: of one that
// failed before, the error says it all.
func unlessInVain(show ftpclient.ProgressFunc) ftpclient.ProgressFunc {
	var begin sync.Once
	var first func()
	var late *time.Timer
	return func(p ftpclient.Progress) {
		if late == nil {
			first = func() { show(p) }
			late = time.AfterFunc(time.Second, func() { begin.Do(first) })
		}
		inVain := p.Bytes == 0 && p.Attempt < 2 && !p.Done
		if inVain && (p.Err == nil || late.Stop()) {
			return
		}
		late.Stop()
		begin.Do(first)
		show(p)
	}
}

// conclude says how the transfer to target went. It is an error that a file is not proved to be whole, too.
func (t *tool) conclude(ctx context.Context, target string, result *ftpclient.Result, err error) error {
	begun := result != nil && result.Transferred > 0
	if err != nil && ctx.Err() == nil && result != nil && result.Attempts > 1 {
		err = fmt.Errorf("%w (%s)", err, count(result.Attempts, "attempt"))
	}
	switch {
	case err != nil && begun && ctx.Err() != nil:
		return errors.New("interrupted; the same command with -resume will continue")
	case err != nil && begun && ftpclient.Retryable(err):
		return fmt.Errorf("%w (the same command with -resume will continue)", err)
	case err != nil:
		return err
	}
	if result.RestartReason != "" {
		t.note("%s: started over: %s", target, result.RestartReason)
	}
	if result.Verification.Method == ftpclient.VerifiedNone {
		return fmt.Errorf("%s: arrived, but the server tells no sizes: nothing proves that it is whole", target)
	}
	t.note("%s: %s, checked: %s", target, count(result.Bytes, "byte"), result.Verification)
	return nil
}

// localPath refuses what is a URL in the place of a path, without repeating the password in it.
func localPath(arg string) error {
	if arg == "" || strings.Contains(arg, "://") {
		return &usageError{"LOCAL is the path of a local file or folder"}
	}
	return nil
}

// isFolder reports whether a local path is a folder, or must be one.
func isFolder(local string) bool {
	if os.IsPathSeparator(local[len(local)-1]) {
		return true
	}
	info, err := os.Stat(local)
	return err == nil && info.IsDir()
}
