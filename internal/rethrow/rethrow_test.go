package rethrow_test

import (
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"github.com/corexalgo/ftpclient/internal/rethrow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheFirstPanicIsTheWaitersOnce(t *testing.T) {
	var k rethrow.Keeper
	fallen := 0
	for _, value := range []string{"first", "second"} {
		var wg sync.WaitGroup
		wg.Go(func() { k.Run(func() { panic(value) }, func() { fallen++ }) })
		wg.Wait()
	}
	k.Run(func() {}, func() { fallen++ })
	assert.Equal(t, 2, fallen)
	assert.PanicsWithValue(t, "first", k.Again)
	assert.NotPanics(t, k.Again)
}

func TestGoexitEndsTheWaiterToo(t *testing.T) {
	var k rethrow.Keeper
	fallen, returned, again := false, false, false
	var wg sync.WaitGroup
	wg.Go(func() {
		k.Run(runtime.Goexit, func() { fallen = true })
		returned = true
	})
	wg.Wait()
	assert.True(t, fallen)
	assert.False(t, returned)
	wg.Go(func() {
		k.Again()
		again = true
	})
	wg.Wait()
	assert.False(t, again)
	assert.NotPanics(t, k.Again)
}
