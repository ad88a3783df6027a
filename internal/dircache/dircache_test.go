package dircache_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/corexalgo/ftpclient/internal/dircache"
)

func name(s string) string { return s }

func dir(n int) *dircache.Dir[string] {
	entries := make([]string, n)
	for i := range entries {
		entries[i] = fmt.Sprint(i)
	}
	return dircache.NewDir(entries, name, true)
}

func TestADirectoryIsReadOnceForAllWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c dircache.Cache[string, string]
		reads := 0
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				d := c.Get(t.Context(), "d", time.Time{}, func() {}, func() *dircache.Dir[string] {
					reads++
					time.Sleep(time.Second)
					return dir(3)
				})
				assert.Len(t, d.Entries, 3)
			})
		}
		all.Wait()
		assert.Equal(t, 1, reads)

		ctx, cancel := context.WithCancel(t.Context())
		all.Go(func() {
			c.Get(t.Context(), "slow", time.Time{}, func() {}, func() *dircache.Dir[string] { time.Sleep(time.Minute); return nil })
		})
		synctest.Wait()
		time.AfterFunc(time.Second, cancel)
		waits := 0
		assert.Nil(t, c.Get(ctx, "slow", time.Time{}, func() { waits++ }, nil), "nobody waits longer than his context")
		assert.Equal(t, 1, waits)
		all.Wait()
	})
}

func TestAReadingThatIsTooOldIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c dircache.Cache[string, string]
		reads := 0
		get := func(oldest time.Time) {
			c.Get(t.Context(), "d", oldest, func() {}, func() *dircache.Dir[string] {
				reads++
				time.Sleep(time.Second)
				return dir(20_000)
			})
		}
		begun := time.Now()
		get(begun.Add(time.Hour))
		assert.Equal(t, 1, reads, "it is being read now")
		for _, oldest := range []time.Time{{}, begun, time.Now()} {
			get(oldest)
		}
		assert.Equal(t, 1, reads)
		get(time.Now().Add(time.Nanosecond))
		assert.Equal(t, 2, reads)
		get(begun.Add(2 * time.Second))
		assert.Equal(t, 2, reads, "the newest is kept")

		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { get(begun.Add(time.Hour)) })
		}
		all.Wait()
		assert.Equal(t, 3, reads, "by one for all, and what was dropped is not counted")
		get(time.Time{})
		assert.Equal(t, 3, reads)
	})
}

func TestOnlyTheLastDirectoriesAreKept(t *testing.T) {
	var c dircache.Cache[int, string]
	reads := map[int]int{}
	get := func(key, size int) {
		c.Get(t.Context(), key, time.Time{}, func() {}, func() *dircache.Dir[string] {
			reads[key]++
			return dir(size)
		})
	}
	for key := range 100 {
		get(key, 1)
	}
	get(99, 1)
	get(0, 1)
	assert.Equal(t, []int{1, 2}, []int{reads[99], reads[0]})
	for range 2 {
		for key := 1000; key < 1006; key++ {
			get(key, 10_000)
			get(key, 10_000)
		}
	}
	assert.Equal(t, 2, reads[1000], "six are too large to be kept together, each for itself is")
}

func TestAbsenceIsProvedByAWholeListingOnly(t *testing.T) {
	d := dircache.NewDir([]string{"Readme", "b"}, name, true)
	assert.True(t, d.Absent("c"))
	assert.False(t, d.Absent("b"))
	assert.False(t, d.Absent("README"), "servers that do not tell letter case apart")
	assert.False(t, d.Absent(".hidden"), "not in every listing")
	assert.False(t, dircache.NewDir(nil, name, false).Absent("c"))
}

func TestADirectoryThatIsBeingReadIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c dircache.Cache[string, string]
		reads := map[string]int{}
		get := func(key string, n int, takes time.Duration) {
			c.Get(t.Context(), key, time.Time{}, func() {}, func() *dircache.Dir[string] {
				reads[key]++
				time.Sleep(takes)
				return dir(n)
			})
		}
		var slow sync.WaitGroup
		slow.Go(func() { get("slow", 20_000, time.Second) })
		synctest.Wait()
		get("large", 40_000, 0)
		get("slow", 20_000, time.Second)
		assert.Equal(t, 1, reads["slow"])
		slow.Wait()
		for range 2 {
			get("a", 1, 0)
			get("b", 1, 0)
		}
		assert.Equal(t, map[string]int{"slow": 1, "large": 1, "a": 1, "b": 1}, reads, "what was forgotten is not counted")
	})
}
