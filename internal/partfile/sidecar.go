package partfile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// A sidecar without parts is of the first version, which older programs read; one with parts they refuse.
const (
	versionPlain = 1
	versionParts = 2

	maxSidecar = 64 << 10
)

// envelope is the sidecar as it is on the disk. The checksum covers the payload's bytes as they are written.
type envelope struct {
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"`
	Payload json.RawMessage `json:"payload"`
}

type payload struct {
	Source     string    `json:"source"` // fingerprint: no user name is left on a disk
	Size       int64     `json:"size"`
	ModTime    time.Time `json:"mod_time"`
	Unique     []byte    `json:"unique,omitempty"` // bytes, as a server may send what is no UTF-8
	Offset     int64     `json:"offset"`
	Parts      []Range   `json:"parts,omitempty"`
	DigestName string    `json:"digest_name,omitempty"`
	Digest     []byte    `json:"digest,omitempty"`
}

func (s Source) fingerprint() string { return fingerprint(s.Server, s.User, s.Path) }

func encode(src Source, s State) ([]byte, error) {
	p, err := json.Marshal(payload{
		Source:     src.fingerprint(),
		Size:       s.Size,
		ModTime:    s.ModTime.UTC(),
		Unique:     []byte(s.Unique),
		Offset:     s.Offset,
		Parts:      s.Parts,
		DigestName: s.DigestName,
		Digest:     s.Digest,
	})
	if err != nil {
		return nil, err
	}
	version := versionPlain
	if len(s.Parts) > 0 {
		version = versionParts
	}
	return json.Marshal(envelope{Version: version, SHA256: checksum(p), Payload: p})
}

func checksum(p []byte) string {
	sum := sha256.Sum256(p)
	return hex.EncodeToString(sum[:])
}

// decode takes nothing on trust: whatever may be under the sidecar's name gives a State that can be true, or an error.
func decode(data []byte, src Source) (State, error) {
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return State{}, fmt.Errorf("sidecar damaged: %w", err)
	}
	if e.Version != versionPlain && e.Version != versionParts {
		return State{}, fmt.Errorf("sidecar of unknown version %d", e.Version)
	}
	if checksum(e.Payload) != e.SHA256 {
		return State{}, errors.New("sidecar damaged: wrong checksum")
	}
	var p payload
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return State{}, fmt.Errorf("sidecar damaged: %w", err)
	}
	switch {
	case p.Source != src.fingerprint():
		return State{}, errors.New("sidecar of another source")
	case p.Offset < 0:
		return State{}, fmt.Errorf("sidecar damaged: offset %d", p.Offset)
	case p.Size >= 0 && p.Offset > p.Size:
		return State{}, fmt.Errorf("sidecar damaged: offset %d of %d bytes", p.Offset, p.Size)
	}
	s := State{
		Size:       p.Size,
		ModTime:    p.ModTime.UTC(),
		Unique:     string(p.Unique),
		Offset:     p.Offset,
		Parts:      p.Parts,
		DigestName: p.DigestName,
		Digest:     p.Digest,
	}
	if err := s.check(); err != nil {
		return State{}, err
	}
	return s, nil
}

func (f *File) readSidecar() (State, error) {
	file, err := openRegular(f.dir, f.state, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, fmt.Errorf("no earlier transfer: %w", fs.ErrNotExist)
	}
	if err != nil {
		return State{}, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxSidecar+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return State{}, err
	}
	if len(data) > maxSidecar {
		return State{}, errors.New("sidecar damaged: too long")
	}
	return decode(data, f.source)
}

// writeSidecar replaces the sidecar whole. The name of the unfinished one is fixed, so that nothing piles up when
// processes are killed; the lock keeps others from it.
func (f *File) writeSidecar(s State) error {
	f.noted.Store(true)
	data, err := encode(f.source, s)
	if err != nil {
		return err
	}
	if _, err := f.regular(f.state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := f.remove(f.fresh); err != nil {
		return err
	}
	file, err := f.dir.OpenFile(f.fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = f.dir.Rename(f.fresh, f.state)
	}
	if err != nil {
		_, rerr := f.remove(f.fresh)
		return errors.Join(err, rerr)
	}
	return nil
}
