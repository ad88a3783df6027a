package ftpclient

import (
	"context"
	"os"
	"path"
	"testing"
	"time"
)

// HoldListings changes how much older than a job a listing may be, for one test.
func HoldListings(t *testing.T, d time.Duration) {
	t.Helper()
	before := listingHolds
	listingHolds = d
	t.Cleanup(func() { listingHolds = before })
}

// Admit tells of each path below the root of a download, in the order of the walk, why it cannot be a local one.
func Admit(rels ...string) []error {
	var d downloadTree
	errs := make([]error, len(rels))
	for i, rel := range rels {
		errs[i] = d.admit(rel, path.Base(rel))
	}
	return errs
}

// WalkWhileClosing are the errors of a tree's walk that Close ends just as it begins.
func (c *Client) WalkWhileClosing(ctx context.Context, server, dir string) (errs []error) {
	op, err := c.begin(ctx, "list", server, dir)
	if err != nil {
		return []error{err}
	}
	defer op.end()
	c.cancel()
	<-op.ctx.Done()
	for item := range op.remoteTree(dir, nil) {
		errs = append(errs, item.Err)
	}
	return errs
}

// Waiting tells whether somebody waits for a connection that others use.
func (c *Client) Waiting(server string) bool { return c.servers[server].pool.Waiting() }

// Fold has each folder take names for one that differ in letter case, or not, for one test.
func Fold(t *testing.T, yes bool) {
	t.Helper()
	before := folds
	folds = func(*os.Root, string) bool { return yes }
	t.Cleanup(func() { folds = before })
}
