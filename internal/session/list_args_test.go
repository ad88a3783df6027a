package session_test

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/listing"
	"github.com/corexalgo/ftpclient/internal/safepath"
)

func TestALinkThatIsListedAsItselfIsFollowedIntoItsDirectory(t *testing.T) {
	for name, row := range map[string]string{
		"link, as ls -l shows it":                 "lrwxr-xr-x 1 u g 7 Jan 02 2024 current -> rel-1.2\r\n",
		"directory, as vsftpd filters that above": "drwx--x--x 2 u g 4096 Jan 02 2024 current\r\n",
		"something that leads elsewhere":          "-rw-r--r-- 1 u g 7 Jan 02 2024 ../x/current\r\n",
	} {
		srv := listsByArgument(t, map[string]string{"pub/current": row, "": rowOfA})
		s := dial(t, scripted(srv))
		names, rowErrs, err := list(t.Context(), s, "pub/current")
		require.NoError(t, err, name)
		assert.Empty(t, rowErrs, name)
		assert.Equal(t, []string{"a"}, names, name)
		inStep(t, s, name)
	}
	srv := listsByArgument(t, map[string]string{"pub/current": "-rw-r--r-- 1 u g 7 Jan 02 2024 ../x/current\r\n" + rowOfA})
	names, rowErrs, err := list(t.Context(), dial(t, scripted(srv)), "pub/current")
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, names)
	require.Len(t, rowErrs, 1)
	require.ErrorIs(t, rowErrs[0], safepath.ErrUnsafe)
}

func TestAServerThatTakesDashAForANameHasNoEmptyDirectories(t *testing.T) {
	itself := "drwxr-xr-x 2 u g 64 Jan 02 2024 .\r\ndrwxr-xr-x 9 u g 64 Jan 02 2024 ..\r\n"
	secret := "-rw-r--r-- 1 u g 3 Jan 02 2024 .secret\r\n"
	link := "lrwxr-xr-x 1 u g 7 Jan 02 2024 d -> elsewhere\r\n"
	for what, c := range map[string]struct {
		dir    string
		rows   map[string]string // by LIST's argument
		names  []string
		faults int
	}{
		"it knows -a":                      {"d", map[string]string{"-a d": itself + secret + rowOfA}, []string{".secret", "a"}, 0},
		"it knows -a, nothing there":       {"d", map[string]string{"-a d": itself, "-a": rowOfA, "": rowOfA}, nil, 0},
		"it knows -a alone":                {"d", map[string]string{"-a": itself + secret + rowOfA, "": rowOfA}, []string{".secret", "a"}, 0},
		"it knows -a alone, nothing there": {"d", map[string]string{"-a": itself, "": rowOfA}, nil, 0},
		"it does not":                      {"d", map[string]string{"": rowOfA}, []string{"a"}, 1},
		"it does not, a link":              {"d", map[string]string{"-a d": link, "": rowOfA}, []string{"a"}, 1},
		"it does not, login directory":     {"", map[string]string{"": rowOfA}, []string{"a"}, 1},
		"it does not, not an argument":     {"d e", map[string]string{"": rowOfA}, []string{"a"}, 1},
		"nothing there":                    {"d", nil, nil, 0},
	} {
		cfg := scripted(listsByArgument(t, c.rows))
		cfg.ListHidden = true
		s := dial(t, cfg)
		names, faults, err := list(t.Context(), s, c.dir)
		require.NoError(t, err, what)
		assert.Equal(t, c.names, names, what)
		assert.Len(t, faults, c.faults, what)
		inStep(t, s, what)
		yielded := 0
		require.NoError(t, s.List(t.Context(), c.dir, func(listing.Entry, error) bool {
			yielded++
			return false
		}), what)
		assert.LessOrEqual(t, yielded, 1, "%s: nobody wants more", what)
	}
}

// listsByArgument is a server with a listing for each argument of LIST.
func listsByArgument(t *testing.T, rows map[string]string) *ftptest.ScriptServer {
	t.Helper()
	return ftptest.Script(t, func(c *ftptest.Conn) {
		c.Send("220 ready\r\n")
		answers := map[string]string{"USER": "230 in", "TYPE": "200 ok", "NOOP": "200 ok", "CWD": "250 in", "PWD": `257 "/" is it`, "PASV": "500 no"}
		var data *ftptest.DataListener
		for {
			verb, arg, _ := strings.Cut(c.ReadLine(), " ")
			switch answer, known := answers[verb]; {
			case verb == "":
				return
			case verb == "EPSV":
				data = c.Listen()
				c.Send(data.EPSV())
			case verb == "LIST":
				conn := data.Accept()
				c.Send("150 here\r\n")
				_, _ = io.WriteString(conn, rows[arg])
				_ = conn.Close()
				c.Send("226 done\r\n")
			case known:
				c.Send(answer + "\r\n")
			default:
				c.Send("500 no\r\n")
			}
		}
	})
}
