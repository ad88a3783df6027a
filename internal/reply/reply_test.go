package reply_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/reply"
)

func readerOf(s string) *reply.Reader { return reply.NewReader(bufio.NewReader(strings.NewReader(s))) }

func TestARepliesFormIsThatOfRFC959(t *testing.T) {
	for name, tt := range map[string]struct {
		sent string
		want reply.Reply
	}{
		"single":             {"220 ready\r\n", reply.Reply{Code: 220, Lines: []string{"ready"}}},
		"bare code":          {"226\r\n", reply.Reply{Code: 226, Lines: []string{""}}},
		"empty text":         {"226 \r\n", reply.Reply{Code: 226, Lines: []string{""}}},
		"line feed only":     {"226 done\n", reply.Reply{Code: 226, Lines: []string{"done"}}},
		"two lines":          {"230-hello\r\n230 in\r\n", reply.Reply{Code: 230, Lines: []string{"hello", "in"}}},
		"inner lines":        {"211-Features:\r\n SIZE\r\n\r\n211 End\r\n", reply.Reply{Code: 211, Lines: []string{"Features:", " SIZE", "", "End"}}},
		"code repeated":      {"230-a\r\n230-b\r\n230 c\r\n", reply.Reply{Code: 230, Lines: []string{"a", "230-b", "c"}}},
		"another code":       {"123-First\r\n 234 a number\r\n234 another\r\n123 Last\r\n", reply.Reply{Code: 123, Lines: []string{"First", " 234 a number", "234 another", "Last"}}},
		"code, no separator": {"230-a\r\n230x\r\n230 c\r\n", reply.Reply{Code: 230, Lines: []string{"a", "230x", "c"}}},
		"bare last line":     {"230-a\r\n230\r\n", reply.Reply{Code: 230, Lines: []string{"a", ""}}},
		"NUL and high bytes": {"550 a\x00\xff\r\n", reply.Reply{Code: 550, Lines: []string{"a\x00\xff"}}},
		"protected":          {"631 x\r\n", reply.Reply{Code: 631, Lines: []string{"x"}}},
	} {
		r := readerOf(tt.sent)
		got, err := r.Read()
		require.NoError(t, err, name)
		assert.Equal(t, tt.want, got, name)
		assert.Zero(t, r.Buffered(), name)

		again, err := readerOf(string(got.Bytes())).Read()
		require.NoError(t, err, name)
		assert.Equal(t, got, again, "%s: Bytes is read as the same reply", name)
	}
}

func TestWhatIsNoReplyIsMalformed(t *testing.T) {
	for name, sent := range map[string]string{
		"text":            "hello\r\n",
		"SSH":             "SSH-2.0-OpenSSH\r\n",
		"HTTP":            "HTTP/1.1 400 Bad Request\r\n",
		"empty line":      "\r\n",
		"two digits":      "22 ready\r\n",
		"four digits":     "2200 ready\r\n",
		"code 0":          "000 x\r\n",
		"code 7":          "700 x\r\n",
		"letters":         "2x0 ready\r\n",
		"arabic digits":   "٢٢٠ x\r\n",
		"tab":             "220\tready\r\n",
		"long line":       "220 " + strings.Repeat("x", reply.MaxLine) + "\r\n",
		"no line end":     strings.Repeat("2", reply.MaxLine+1),
		"long reply":      "220-" + strings.Repeat(strings.Repeat("x", 1000)+"\r\n", 66) + "220 end\r\n",
		"many short ones": "220-" + strings.Repeat("\r\n", reply.MaxReply) + "220 end\r\n",
	} {
		_, err := readerOf(sent).Read()
		require.ErrorIs(t, err, reply.ErrMalformed, name)
		assert.Less(t, len(err.Error()), 2100, name)
	}
}

func TestTheLargestLinesAndRepliesAreRead(t *testing.T) {
	line := "220 " + strings.Repeat("x", reply.MaxLine-6) + "\r\n"
	got, err := readerOf(line).Read()
	require.NoError(t, err)
	assert.Len(t, got.Text(), reply.MaxLine-6)

	got, err = readerOf("220-" + strings.Repeat(strings.Repeat("x", 999)+"\r\n", 65) + "220 e\r\n").Read()
	require.NoError(t, err)
	assert.Len(t, got.Lines, 66)
}

// endless is a server that never ends its reply, and counts what was taken of it.
type endless struct {
	line  string
	taken int
}

func (e *endless) Read(p []byte) (int, error) {
	e.taken += copy(p, e.line)
	return copy(p, e.line), nil
}

func TestAnEndlessReplyIsReadToItsBoundOnly(t *testing.T) {
	for _, line := range []string{"220-", "220-welcome\r\n"} {
		src := &endless{line: line}
		_, err := reply.NewReader(bufio.NewReader(src)).Read()
		require.ErrorIs(t, err, reply.ErrMalformed)
		assert.Less(t, src.taken, 2*reply.MaxReply)
	}
}

func TestATimeOutInTheMiddleKeepsItsPlace(t *testing.T) {
	// The time-out strikes on every second read, and each read gives one byte.
	const sent = "230-hello\r\n inner\r\n230 in\r\n226 next\r\n"
	src := &flaky{r: iotest.OneByteReader(strings.NewReader(sent))}
	r := reply.NewReader(bufio.NewReader(src))
	var replies []reply.Reply
	timeouts := 0
	for {
		got, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			timeouts++
			if timeouts == 10 {
				assert.NotZero(t, r.Buffered(), "half a reply is something unread")
			}
			continue
		}
		replies = append(replies, got)
	}
	assert.Equal(t, []reply.Reply{{Code: 230, Lines: []string{"hello", " inner", "in"}}, {Code: 226, Lines: []string{"next"}}}, replies)
	assert.Greater(t, timeouts, len(sent)/2)
}

type flaky struct {
	r    io.Reader
	turn int
}

func (f *flaky) Read(p []byte) (int, error) {
	if f.turn++; f.turn%2 == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return f.r.Read(p)
}

func TestAnEndInTheMiddleIsNoReply(t *testing.T) {
	for _, sent := range []string{"", "2", "220 ready", "220-a\r\n", "220-a\r\n220 b"} {
		_, err := readerOf(sent).Read()
		require.ErrorIs(t, err, io.EOF, sent)
	}
}

func TestBytesBeyondAReplyAreSeen(t *testing.T) {
	r := readerOf("226 done\r\n421 bye\r\n")
	_, err := r.Read()
	require.NoError(t, err)
	assert.Equal(t, len("421 bye\r\n"), r.Buffered())
	b, err := r.Peek()
	require.NoError(t, err)
	assert.Equal(t, byte('4'), b)
	got, err := r.Read()
	require.NoError(t, err)
	assert.Equal(t, 421, got.Code, "Peek took nothing")
	_, err = r.Peek()
	require.ErrorIs(t, err, io.EOF)
}

// jlaffaye accepts 226 only, so 250 becomes 226: an inner line that began with 226 must not then end the reply, or its rest
// would answer the next command.
func TestAChangedCodeEndsNoReplyEarly(t *testing.T) {
	got, err := readerOf("250-ok\r\n226 not yet\r\n226\r\n226-nor this\r\n250 done\r\n").Read()
	require.NoError(t, err)
	got.Code = 226
	r := readerOf(string(got.Bytes()))
	again, err := r.Read()
	require.NoError(t, err)
	assert.Len(t, again.Lines, 5)
	assert.Equal(t, "done", again.Lines[4])
	assert.Zero(t, r.Buffered())
}

func TestKindsOfReplies(t *testing.T) {
	assert.True(t, reply.Reply{Code: 150}.Preliminary())
	assert.False(t, reply.Reply{Code: 226}.Preliminary())
	assert.True(t, reply.Reply{Code: 250}.Done())
	assert.False(t, reply.Reply{Code: 350}.Done(), "350 waits for more")
	assert.False(t, reply.Reply{Code: 550}.Done())
	assert.Equal(t, "a\nb", reply.Reply{Lines: []string{"a", "b"}}.Text())
}

func TestServersWordsAreQuotedAndCapped(t *testing.T) {
	assert.Equal(t, `"a\x1b[31m\nb\u202e\xff"`, reply.Quote("a\x1b[31m\nb\u202e\xff"))
	assert.Equal(t, `say "hi" 中`, reply.Printable(`say "hi" 中`))
	assert.LessOrEqual(t, len(reply.Quote(strings.Repeat("x", 5000))), 520)
	assert.True(t, strings.HasSuffix(reply.Printable(strings.Repeat("x", 5000)), "x…"))
}

func TestTheRowsOfAListingAreHandedOverAndNotCounted(t *testing.T) {
	row := strings.Repeat("x", 1000)
	r := readerOf("213-Status follows:\r\n" + strings.Repeat(row+"\r\n", 200) + "213-x\r\n 213 x\r\n213 End\r\n200 ok\r\n")
	var rows []string
	rep, err := r.ReadRows(func(line string) error { rows = append(rows, line); return nil })
	require.NoError(t, err)
	assert.Equal(t, reply.Reply{Code: 213, Lines: []string{"Status follows:", "End"}}, rep)
	require.Len(t, rows, 202)
	assert.Equal(t, []string{row, "213-x", " 213 x"}, rows[199:])
	rep, err = r.ReadRows(nil)
	require.NoError(t, err)
	assert.Equal(t, 200, rep.Code)

	r = readerOf("211-F\r\n" + strings.Repeat(row+"\r\n", 200) + "211 End\r\n")
	_, err = r.Read()
	require.ErrorIs(t, err, reply.ErrMalformed, "without rows the bound holds")
	r = readerOf("220-F\r\n" + strings.Repeat(row+"\r\n", 200) + "220 End\r\n")
	_, err = r.ReadRows(func(string) error { return nil })
	require.ErrorIs(t, err, reply.ErrMalformed, "a reply that is no listing is bounded all the same")
	r = readerOf("213-F\r\na\r\nb\r\n")
	stop := errors.New("stop")
	_, err = r.ReadRows(func(string) error { return stop })
	require.ErrorIs(t, err, stop)
}
