package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"

	"github.com/corexalgo/ftpclient"
)

// mirrorFlags are the flags of mirror.
type mirrorFlags struct {
	batchFlags
	dry, json, delete, up bool
	compare               criterion
}

func prepareMirror(flags *flag.FlagSet) action {
	var f mirrorFlags
	f.register(flags)
	flags.BoolVar(&f.dry, "n", false, "print what would be done, and do nothing")
	flags.BoolVar(&f.json, "json", false, "with -n: print it as JSON")
	flags.BoolVar(&f.delete, "delete", false, "delete from TARGET what SOURCE does not have")
	flags.BoolVar(&f.up, "up", false, "insist that TARGET is the URL, which decides the direction without it, too")
	flags.Var(&f.compare, "compare", "take files for the same by time (and size), size or hash; `HOW` is time unless said")
	return f.run
}

func (f *mirrorFlags) run(ctx context.Context, t *tool, args []string) error {
	direction, remote, local := ftpclient.Down, args[0], args[1]
	if isURL(args[1]) {
		direction, remote, local = ftpclient.Up, args[1], args[0]
	}
	switch {
	case !isURL(remote) || isURL(local) || local == "":
		return &usageError{"one of SOURCE and TARGET is a URL, and the other one a local folder"}
	case f.up && direction != ftpclient.Up:
		return &usageError{"with -up, TARGET is the URL"}
	case f.json && !f.dry:
		return &usageError{"-json goes with -n"}
	}
	server, err := t.connectMany(remote, f.workers)
	if err != nil {
		return err
	}
	defer server.Close() //nolint:errcheck // always nil
	plan, err := server.PlanMirror(ctx, server.server, server.path, local, &ftpclient.MirrorOptions{
		Direction: direction, Include: f.include, Exclude: f.exclude, Delete: f.delete, Compare: ftpclient.Compare(f.compare),
	})
	if err != nil {
		return err
	}
	if f.dry {
		return f.print(t, plan)
	}
	r := &report{tool: t, target: local, goesOn: "the same command goes on", same: plan.Unchanged}
	if direction == ftpclient.Up {
		r.target = server.shown()
	}
	for _, a := range plan.Actions {
		if a.Kind == ftpclient.ActionDelete {
			r.kept++
		}
	}
	opts := f.options(r)
	opts.Resume = true
	result, err := server.Apply(ctx, plan, opts)
	if f.delete && plan.Incomplete {
		t.note("nothing is deleted, as not everything could be read")
	}
	return r.conclude(ctx, result, err)
}

// print prints a plan. It is an error that it does not tell of everything.
func (f *mirrorFlags) print(t *tool, plan *ftpclient.Plan) error {
	text := []byte(plan.String())
	if f.json {
		var err error
		if text, err = json.MarshalIndent(plan, "", "  "); err != nil {
			return err
		}
		text = append(text, '\n')
	}
	if _, err := t.stdout.Write(text); err != nil {
		return err
	}
	if n := len(plan.Faults); n > 0 {
		return fmt.Errorf("the plan is incomplete: %s", count(n, "fault"))
	}
	return nil
}

func isURL(arg string) bool { return strings.Contains(arg, "://") }

// criterion is the flag -compare.
type criterion ftpclient.Compare

var criteria = []string{
	ftpclient.CompareSizeAndTime: "time",
	ftpclient.CompareSize:        "size",
	ftpclient.CompareHash:        "hash",
}

// String is its name.
func (c *criterion) String() string { return criteria[*c] }

// Set reads its name.
func (c *criterion) Set(name string) error {
	for i, known := range criteria {
		if name == known {
			*c = criterion(i)
			return nil
		}
	}
	return fmt.Errorf("it is one of %s", strings.Join(criteria, ", "))
}
