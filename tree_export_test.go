package ftpclient

import (
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
