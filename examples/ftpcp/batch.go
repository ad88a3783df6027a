package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/corexalgo/ftpclient"
)

// batchFlags are those of every command that moves many files.
type batchFlags struct {
	workers          int
	include, exclude globs
}

func (f *batchFlags) register(flags *flag.FlagSet) {
	flags.IntVar(&f.workers, "workers", 1, "move `N` files at a time, over at most as many connections; 0: as many as help, up to 5")
	flags.Var(&f.include, "include", "only files that match `GLOB`; may be given several times")
	flags.Var(&f.exclude, "exclude", "no files and folders that match `GLOB`; may be given several times")
}

// options are the BatchOptions that the flags ask for, with r to follow the batch.
func (f *batchFlags) options(r *report) *ftpclient.BatchOptions {
	opts := &ftpclient.BatchOptions{Workers: f.workers, Include: f.include, Exclude: f.exclude, OnFile: r.follow}
	if !r.quiet && !r.verbose {
		opts.Progress = r.bar()
	}
	return opts
}

// treeFlags are those of mget and mput.
type treeFlags struct {
	batchFlags
	resume, update bool
}

func (f *treeFlags) register(flags *flag.FlagSet) {
	f.batchFlags.register(flags)
	flags.BoolVar(&f.resume, "resume", false, "continue files where an earlier call was broken off, if they are still the same")
	flags.BoolVar(&f.update, "update", false, "skip files that have the same size and time on both sides, and give copies the time of their source")
}

func (f *treeFlags) options(r *report) *ftpclient.BatchOptions {
	opts := f.batchFlags.options(r)
	opts.Resume = f.resume
	if f.update {
		opts.Existing = ftpclient.SkipSame
	}
	return opts
}

// globs is a flag that may be given several times.
type globs []string

// String is what the flag package shows as a default.
func (g *globs) String() string { return strings.Join(*g, " ") }

// Set adds one.
func (g *globs) Set(pattern string) error {
	if !doublestar.ValidatePattern(pattern) {
		return errors.New("no pattern")
	}
	*g = append(*g, pattern)
	return nil
}

// connectMany is connect for so many workers.
func (t *tool) connectMany(rawURL string, workers int) (*place, error) {
	if workers < 0 {
		return nil, &usageError{"-workers takes a number, not below 0"}
	}
	return t.connect(rawURL, workers)
}

// A report follows a batch, and says at its end what came of it.
type report struct {
	*tool
	target string
	goesOn string // how to go on after an interruption

	skipped  []string // what was skipped though it is not on both sides, and why
	barred   []error  // what was not copied, as something else is there
	unproved []error
	same     int
	kept     int // deletions that were not done
}

// follow is the OnFile of the batch.
func (r *report) follow(e ftpclient.FileEvent) {
	switch {
	case !e.Done || e.Err != nil: // failures come with the result
	case e.Result.Skipped && e.Result.SkipReason == "same size and time":
		r.same++
	case e.Result.Skipped && strings.HasSuffix(e.Result.SkipReason, "in the way"):
		r.barred = append(r.barred, fmt.Errorf("%s: %s", e.Job.Remote, e.Result.SkipReason))
	case e.Result.Skipped:
		r.skipped = append(r.skipped, fmt.Sprintf("skipped: %s: %s", e.Job.Remote, e.Result.SkipReason))
	case e.Result.Verification.Method == ftpclient.VerifiedNone:
		r.unproved = append(r.unproved, fmt.Errorf(
			"%s: arrived, but the server tells no sizes: nothing proves that it is whole", e.Job.Remote))
	}
}

// conclude says what was skipped, what failed, and sums it up. An error is all that need not have been.
func (r *report) conclude(ctx context.Context, result *ftpclient.BatchResult, err error) error {
	for _, text := range r.skipped {
		r.note("%s", text)
	}
	if err != nil && len(result.Failures) == 0 && ctx.Err() == nil {
		return err // it did not even begin
	}
	failures := slices.Concat(r.unproved, r.barred)
	for _, f := range result.Failures {
		if ctx.Err() == nil || !errors.Is(f.Err, context.Canceled) {
			failures = append(failures, f)
		}
	}
	for _, f := range failures {
		r.complain(f)
	}
	text := r.target + ": " + r.sum(result, len(failures))
	left := result.Total - result.Succeeded - result.Skipped - result.Failed
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted; %s; %s", text, r.goesOn)
	case left > 0:
		return fmt.Errorf("%s; ended early, %d not tried", text, left)
	case err != nil || len(failures) > 0:
		return errors.New(text)
	}
	r.note("%s", text)
	return nil
}

// sum is the result on one line.
func (r *report) sum(result *ftpclient.BatchResult, failed int) string {
	text := fmt.Sprintf("%s, %s in %.1f s", count(result.Succeeded, "file"), count(result.Bytes, "byte"), result.Elapsed.Seconds())
	for _, part := range []struct {
		n    int
		what string
	}{
		{r.same, "unchanged"},
		{result.Deleted, "deleted"},
		{len(r.skipped), "skipped"},
		{failed, "failed"},
		{r.kept - result.Deleted, "not deleted"},
	} {
		if part.n > 0 {
			text += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	return text
}
