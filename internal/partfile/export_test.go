package partfile

import "os"

// Decode and Encode are the sidecar's reader and writer.
var (
	Decode = decode
	Encode = encode
)

// Envelope wraps a payload with the checksum that it needs.
func Envelope(payload string) []byte {
	return []byte(`{"version":1,"sha256":"` + checksum([]byte(payload)) + `","payload":` + payload + `}`)
}

// SetSync replaces the flush of the partial's data, and has f believe that it is on a disk.
func (f *File) SetSync(sync func(*os.File) error) {
	f.checkpoint.sync = sync
	f.InMemory(false)
}

// SetClose replaces the closing of a partial that is finished.
func (f *File) SetClose(close func(*os.File) error) { f.checkpoint.close = close }

// InMemory has f believe that it is in memory only, or on a disk.
func (f *File) InMemory(is bool) {
	f.checkpoint.known = false
	f.checkpoint.memory = func(*os.File) bool { return is }
}

// SetWriteSidecar has wrap stand before every write of the sidecar.
func (f *File) SetWriteSidecar(wrap func(State, func(State) error) error) {
	write := f.checkpoint.write
	f.checkpoint.write = func(s State) error { return wrap(s, write) }
}

// Wait waits for a checkpoint that is running.
func (f *File) Wait() { f.checkpoint.wait() }

// Names are the hidden files.
func (f *File) Names() (part, state, lock string) { return f.part, f.state, f.lock.name }

// Distant has f believe that it is on a network file system.
func Distant(f *File) { f.checkpoint.distant = func(*os.File) bool { return true } }
