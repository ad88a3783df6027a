package listing_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/listing"
)

var update = flag.Bool("update", false, "write the expected entries of testdata/listings; read the difference")

const samples = "../../testdata/listings"

// now is the time at which all samples are read.
func now() time.Time { return time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC) }

// outcome is what became of one row.
type outcome struct {
	Noise  bool   `json:"noise,omitempty"`
	Error  string `json:"error,omitempty"`
	Name   string `json:"name,omitempty"`
	Mode   string `json:"mode,omitempty"`
	Size   *int64 `json:"size,omitempty"` // none: unknown
	Time   string `json:"time,omitempty"`
	Within string `json:"within,omitempty"`
	Target string `json:"target,omitempty"`
	Unique string `json:"unique,omitempty"`
	Perm   string `json:"perm,omitempty"`
}

func outcomeOf(e listing.Entry, ok bool, err error) outcome {
	if err != nil {
		var row *listing.RowError
		if !errors.As(err, &row) {
			return outcome{Error: "not a RowError: " + err.Error()}
		}
		return outcome{Error: row.Err.Error()}
	}
	if !ok {
		return outcome{Noise: true}
	}
	o := outcome{Name: e.Name, Mode: e.Mode.String(), Target: e.Target, Unique: e.Unique, Perm: e.Perm}
	if e.Size >= 0 {
		o.Size = &e.Size
	}
	if !e.ModTime.IsZero() {
		o.Time, o.Within = e.ModTime.Format(time.RFC3339Nano), e.Precise.String()
	}
	return o
}

func sampleFiles(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(samples, "*.txt"))
	require.NoError(tb, err)
	require.Greater(tb, len(files), 20)
	return files
}

func formatOf(path string) listing.Format {
	if strings.HasPrefix(filepath.Base(path), "mlsd-") {
		return listing.MLSD
	}
	return listing.LIST
}

func rowsOf(tb testing.TB, path string) [][]byte {
	tb.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(tb, err)
	return bytes.Split(bytes.TrimSuffix(raw, []byte("\r\n")), []byte("\r\n"))
}

func TestEveryRowOfEverySampleIsAccountedFor(t *testing.T) {
	for _, file := range sampleFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			p := listing.NewParser(formatOf(file), listing.Options{Now: now})
			var got []outcome
			for _, row := range rowsOf(t, file) {
				got = append(got, outcomeOf(p.Row(row)))
			}
			require.NoError(t, p.End())
			golden := strings.TrimSuffix(file, ".txt") + ".json"
			if *update {
				require.NoError(t, os.WriteFile(golden, lines(t, got), 0o644))
			}
			raw, err := os.ReadFile(golden)
			require.NoError(t, err)
			var want []outcome
			require.NoError(t, json.Unmarshal(raw, &want))
			require.Len(t, got, len(want))
			for i := range want {
				assert.Equal(t, want[i], got[i], "row %d", i+1)
			}
		})
	}
}

// lines writes a JSON array with one outcome a line, to be read beside the rows.
func lines(tb testing.TB, all []outcome) []byte {
	tb.Helper()
	var b bytes.Buffer
	b.WriteString("[\n")
	for i, o := range all {
		line := &bytes.Buffer{}
		enc := json.NewEncoder(line)
		enc.SetEscapeHTML(false)
		require.NoError(tb, enc.Encode(o))
		b.WriteString("  " + strings.TrimSuffix(line.String(), "\n"))
		if i < len(all)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("]\n")
	return b.Bytes()
}
