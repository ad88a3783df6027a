package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// A command is one word that ftpcp understands.
type command struct {
	name    string
	args    []string // what follows the flags, as the usage names it; exactly so many
	summary string
	prepare func(*flag.FlagSet) action // registers the command's own flags
}

// An action is a command with its flags parsed.
type action func(ctx context.Context, t *tool, args []string) error

var commands = []command{
	{"get", []string{"URL", "LOCAL"}, "download a file", prepareGet},
	{"put", []string{"LOCAL", "URL"}, "upload a file", preparePut},
	{"verify", []string{"URL", "LOCAL"}, "print how a file, or with -r a tree, differs from a local one", prepareVerify},
	{"mget", []string{"URLDIR", "LOCALDIR"}, "download all that is below a directory", prepareGetTree},
	{"mput", []string{"LOCALDIR", "URLDIR"}, "upload all that is below a folder", preparePutTree},
	{"mirror", []string{"SOURCE", "TARGET"}, "make a folder like another one: one is local, one a URL", prepareMirror},
	{"cp", []string{"URL", "URL"}, "copy a file from one server to another", prepareCopy},
	{"ls", []string{"URL"}, "list a directory, or with -r all below it", prepareList},
	{"mkdir", []string{"URL"}, "make a directory, and those above it", prepareMkdir},
	{"mv", []string{"URL", "PATH"}, "rename a file or directory on its server", prepareMove},
	{"rm", []string{"URL"}, "remove a file or an empty directory, or with -r all of it", prepareRemove},
}

func lookup(name string) (command, bool) {
	for _, c := range commands {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

// flags are the command's own ones.
func (c command) flags() *flag.FlagSet {
	flags := newFlags(c.name)
	c.prepare(flags)
	return flags
}

// usage is the command's call on one line.
func (c command) usage() string {
	var flags []string
	c.flags().VisitAll(func(f *flag.Flag) {
		kind, _ := flag.UnquoteUsage(f)
		flags = append(flags, "["+strings.TrimSpace("-"+f.Name+" "+kind)+"]")
	})
	if len(flags) > 3 { // too many for one line
		flags = []string{"[flags]"}
	}
	return strings.Join(slices.Concat([]string{"ftpcp", c.name}, flags, c.args), " ")
}

const helpAfter = `
URL is ftp://[user[:password]@]host[:port]/path, or ftpes:// for explicit and ftps:// for implicit TLS. The path begins
at the login directory; an absolute one has two slashes, ftp://host//etc/motd. Without a password in the URL the one in
the environment variable FTP_PASSWORD is used, if the URL names a user; of cp's second URL it is FTP_PASSWORD_TO.

LOCAL may be a folder, or end in a slash: then the file has the same name there. So may the URL of put, and cp's second.

GLOB is matched with the path below the folder: * and ? stop at slashes, ** does not, as in '**/*.csv' or 'logs/**'.

The exit status is 0 only if all was done and every file proved to be whole, 1 after a failure, 2 after wrong usage.
`

// help prints what ftpcp can do, or the flags of one command.
func (t *tool) help(args []string) error {
	shared := newFlags("ftpcp")
	t.register(shared)
	var b strings.Builder
	if len(args) > 0 && args[0] != "help" {
		c, ok := lookup(args[0])
		if !ok {
			return &usageError{"no such command; see: ftpcp help"}
		}
		fmt.Fprintf(&b, "%s: %s\n", c.usage(), c.summary)
		printFlags(&b, c.flags())
	} else {
		b.WriteString("ftpcp copies files to and from FTP servers.\n\n")
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, c := range commands {
			_, _ = fmt.Fprintf(table, "  %s\t%s\n", c.usage(), c.summary)
		}
		_, _ = fmt.Fprintf(table, "  %s\t%s\n", "ftpcp help [command]", "print this, or a command's flags")
		_ = table.Flush() // into memory
		b.WriteString(helpAfter)
	}
	b.WriteString("\nFlags of every command:\n")
	printFlags(&b, shared)
	_, err := t.stdout.Write([]byte(b.String()))
	return err
}

func printFlags(b *strings.Builder, flags *flag.FlagSet) {
	flags.SetOutput(b)
	flags.PrintDefaults()
}
