package ftpclient

// What the tests of progress look at from outside.

type Meter = meter

func NewMeter(fn ProgressFunc, job Job, size, resumed int64) *Meter {
	return newMeter(fn, job, size, resumed, place{})
}

func (m *meter) Add(n int64)             { m.add(n) }
func (m *meter) Try(n int, offset int64) { m.attempt(n, offset) }
func (m *meter) Resize(size int64)       { m.resize(size) }
func (m *meter) Finish(err error)        { m.done(err) }
