// Ftpcp copies files to and from FTP servers, from the command line.
//
//	ftpcp get [-resume] [-segments N] ftp://user@host/path/file LOCAL
//	ftpcp put [-resume] LOCAL ftpes://user@host/path/file
//	ftpcp mget [-update] [-workers 8] URLDIR LOCALDIR
//	ftpcp mirror [-n] [-delete] SOURCE TARGET
//	ftpcp ls [-l] URL
//	ftpcp help
//
// The exit status is 0 only if everything was done and proved, 1 after a failure, and 2 after wrong usage.
//
// Each command is a file of its own and a row of the table in commands.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	status := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// A tool is what all commands share: the flags that each of them takes, and the world outside.
type tool struct {
	insecure bool
	quiet    bool
	verbose  bool
	caFile   string
	encoding string
	retries  int

	env            func(string) string
	stdout, stderr io.Writer
	watched        bool        // stderr is a screen
	drawing        atomic.Bool // a bar is drawn on it, which a line would tear

	speaking sync.Mutex // guards what follows, and is held while something is written
	counted  bool       // a count is on the screen, which what comes next wipes
}

func (t *tool) register(flags *flag.FlagSet) {
	flags.BoolVar(&t.insecure, "insecure", t.insecure, "accept any certificate")
	flags.BoolVar(&t.quiet, "quiet", t.quiet, "print nothing but errors and what was asked for")
	flags.BoolVar(&t.verbose, "verbose", t.verbose, "print each FTP command and reply in place of the progress bar")
	flags.StringVar(&t.caFile, "cacert", t.caFile, "trust the certificates in this PEM `file`, and no others")
	flags.StringVar(&t.encoding, "encoding", t.encoding, "names on the server are in this `charset`, such as gbk or windows-1251, and not in UTF-8")
	flags.IntVar(&t.retries, "retries", t.retries, "give up after so many tries in a row, besides the first, that moved nothing")
}

// run is the program. It returns the exit status.
func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	t := &tool{retries: 3, env: env, stdout: stdout, stderr: stderr, watched: isTerminal(stderr)}
	err := t.dispatch(ctx, args)
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		t.complain(err)
		return 2
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		err = errors.New("interrupted")
	}
	t.complain(err)
	return 1
}

// dispatch finds the command and runs it.
func (t *tool) dispatch(ctx context.Context, args []string) error {
	global := newFlags("ftpcp")
	t.register(global)
	switch err := global.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return t.help(nil)
	case err != nil:
		return badFlags(err, "ftpcp help")
	case global.NArg() == 0:
		return &usageError{"a command is missing; see: ftpcp help"}
	}
	name, args := global.Arg(0), global.Args()[1:]
	if name == "help" {
		return t.help(args)
	}
	cmd, ok := lookup(name)
	if !ok { // which may be a URL with a password: it is not repeated
		return &usageError{"the first argument is no command; see: ftpcp help"}
	}
	flags := newFlags(cmd.name)
	t.register(flags)
	do := cmd.prepare(flags)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return t.help([]string{cmd.name})
	case err != nil:
		return badFlags(err, cmd.usage())
	case flags.NArg() != len(cmd.args):
		return &usageError{fmt.Sprintf("%s takes %s, after its flags: %s", cmd.name, count(len(cmd.args), "argument"), cmd.usage())}
	}
	return do(ctx, t, flags.Args())
}

func newFlags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

// badFlags is the error of flags that cannot be parsed. The flag package repeats what it cannot understand, which may be
// a URL in the wrong place.
func badFlags(err error, usage string) error {
	text := err.Error()
	if strings.ContainsAny(text, "@/") {
		text = "a flag is unknown or has a wrong value"
	}
	return &usageError{text + "; usage: " + usage}
}

// A usageError is the error of arguments that make no sense.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// complain prints err on one line.
func (t *tool) complain(err error) {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	if t.encoding == "" && strings.Contains(text, "is not valid UTF-8") {
		text += " (-encoding says in which charset names are)"
	}
	t.say("ftpcp: " + printable(text))
}

// count is n of something, in words.
func count[N int | int64](n N, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// note prints a remark, unless the user wants none.
func (t *tool) note(format string, args ...any) {
	if !t.quiet {
		t.say(printable(fmt.Sprintf(format, args...)))
	}
}
