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
	for _, value := range []string{"first", "second"} {
		var wg sync.WaitGroup
		wg.Go(func() { assert.False(t, k.Run(func() { panic(value) })) })
		wg.Wait()
	}
	assert.True(t, k.Run(func() {}))
	assert.PanicsWithValue(t, "first", k.Again)
	assert.NotPanics(t, k.Again)
}

func TestGoexitEndsTheWaiterToo(t *testing.T) {
	var k rethrow.Keeper
	returned, again := false, false
	var wg sync.WaitGroup
	wg.Go(func() {
		k.Run(runtime.Goexit)
		returned = true
	})
	wg.Wait()
	assert.False(t, returned)
	wg.Go(func() {
		k.Again()
		again = true
	})
	wg.Wait()
	assert.False(t, again)
	assert.NotPanics(t, k.Again)
}
