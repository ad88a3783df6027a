package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/corexalgo/ftpclient"
)

// announce says on a screen what a call waits for that has no connection after a second.
func (t *tool) announce(client *ftpclient.Client, server string) {
	if !t.watched || t.quiet {
		return
	}
	time.AfterFunc(time.Second, func() {
		if stats, err := client.Stats(server); err == nil && stats.Dials == 0 && !t.drawing.Load() {
			t.note("connecting to %s", server)
		}
	})
}

// retries is a slog.Handler that says on a screen that a try failed and is repeated. Where a bar is drawn, the bar does.
type retries struct{ t *tool }

func (r retries) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (r retries) Handle(_ context.Context, record slog.Record) error {
	if record.Message != "ftp retry" || r.t.drawing.Load() {
		return nil
	}
	said := map[string]slog.Value{}
	record.Attrs(func(a slog.Attr) bool {
		said[a.Key] = a.Value
		return true
	})
	wait, _ := said["wait"].Any().(time.Duration)
	r.t.note("attempt %s failed, the next one is in %.1f s: %s", said["attempt"], wait.Seconds(), said["cause"])
	return nil
}

func (r retries) WithAttrs([]slog.Attr) slog.Handler { return r }

func (r retries) WithGroup(string) slog.Handler { return r }
