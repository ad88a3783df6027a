package wire_test

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/wire"
)

func TestARenameThatWasBegunEndsBeforeTheNextCommand(t *testing.T) {
	for name, c := range map[string]struct {
		rnto string
		sent []string
		err  error // of the next command
	}{
		"done":              {"250 ok\r\n", []string{"RNFR f", "RNTO f", "DELE x"}, nil},
		"refused":           {"550 it is there\r\n", []string{"RNFR f", "RNTO f", "DELE x"}, nil},
		"in two replies":    {"150 wait\r\n250 ok\r\n", []string{"RNFR f", "RNTO f", "DELE x"}, nil},
		"with one too many": {"550 no\r\n250 surplus\r\n", []string{"RNFR f", "RNTO f"}, wire.ErrOutOfStep},
		"leaving":           {"421 bye\r\n", []string{"RNFR f", "RNTO f"}, reply.ErrTooMany},
	} {
		t.Run(name, func(t *testing.T) {
			ctl, theirs := control(t, wire.ControlOptions{})
			sent := result(func() (lines []string) {
				for r := bufio.NewScanner(theirs); r.Scan(); {
					lines = append(lines, r.Text())
					answer := "550 no such file\r\n"
					switch verb, _, _ := strings.Cut(r.Text(), " "); verb {
					case "RNFR":
						answer = "350 and now?\r\n"
					case "RNTO":
						answer = c.rnto
					}
					_, _ = io.WriteString(theirs, answer)
				}
				return lines
			})
			require.NoError(t, ctl.Send("RNFR f"))
			_, err := ctl.Reply()
			require.NoError(t, err)
			assert.Equal(t, "RNFR f", ctl.Renaming())
			err = ctl.Send("DELE x")
			if c.err != nil {
				require.ErrorIs(t, err, c.err)
			} else {
				require.NoError(t, err)
				r, err := ctl.Reply()
				require.NoError(t, err)
				assert.Equal(t, 550, r.Code, "that of DELE")
				assert.Empty(t, ctl.Renaming())
			}
			require.NoError(t, ctl.Close())
			assert.Equal(t, c.sent, soon(t, sent))
		})
	}
}
