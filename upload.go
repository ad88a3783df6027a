package ftpclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/corexalgo/ftpclient/internal/partfile"
	"github.com/corexalgo/ftpclient/internal/remotepart"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/session"
	"github.com/corexalgo/ftpclient/internal/source"
)

// An upload is one source on its way to a server.
type upload struct {
	*transfer
	source   source.Source
	part     *remotepart.File
	verifier verifier
	settled  bool              // the ExistingPolicy was applied
	started  bool              // this call began to send
	reached  int64             // the most that the server held of it when an attempt began
	made     bool              // missing folders were made
	appends  bool              // the server refuses REST before STOR
	restarts bool              // it refuses APPE too, or there is no temporary file: every attempt starts over
	proved   *remotepart.Proof // what lies whole under the temporary name; nil: nothing does
}

func (t *transfer) uploadFile(local string) error {
	src, err := source.Open(local)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	// Deterministic, so that a later call finds what this one leaves behind.
	key := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d", src.Path(), src.Size(), src.ModTime().UnixNano()))
	return t.upload(src, hex.EncodeToString(key[:6]))
}

func (t *transfer) uploadReader(r io.Reader) error {
	return t.upload(source.NewReader(r), strconv.FormatInt(time.Now().UnixNano(), 36))
}

// upload holds the target, for this host, and runs.
func (t *transfer) upload(src source.Source, key string) error {
	dir := filepath.Join(os.TempDir(), "ftpclient-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	name := sha256.Sum256([]byte(t.srv.id + "\x00" + t.srv.cfg.Username + "\x00" + path.Clean(t.remote)))
	lock, err := partfile.Open(root, hex.EncodeToString(name[:]), partfile.Source{})
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	u := &upload{transfer: t, source: src, part: remotepart.New(t.remote, key), verifier: newVerifier(Up, t.opts)}
	return u.run()
}

func (u *upload) run() (err error) {
	u.result.Attempts, err = u.try(*u.opts.Retry, u.attempt)
	if err == nil {
		return nil
	}
	if u.started && u.hopeless(err) {
		_ = u.use(func(s *session.Session) error { return u.part.Remove(u.ctx, s) }) // best effort: err is what matters
	}
	if backup := u.part.Aside(); backup != "" {
		err = fmt.Errorf("%w; the file that was there may now be %q", err, backup)
	}
	return err
}

// hopeless tells that no later call can continue what is on the server.
func (u *upload) hopeless(err error) bool {
	var failed *session.SourceError
	return !errors.Is(err, ErrAuth) && // a login more may lock the account
		(!u.source.Resumable() || errors.As(err, &failed) || errors.Is(err, ErrMismatch))
}

// attempt is one try with one connection: look, decide, move, prove, commit.
func (u *upload) attempt(ctx context.Context, n int) (progress bool, err error) {
	err = u.use(func(s *session.Session) error {
		if done, err := u.settle(ctx, s); done || err != nil {
			return err
		}
		if u.proved != nil { // the connection was lost after that
			here, done, err := u.part.Find(ctx, s, *u.proved)
			switch {
			case done || err != nil:
				return err
			case here:
				return u.commit(ctx, s)
			}
			u.proved = nil
		}
		if err := u.verifier.choose(s); err != nil {
			return err
		}
		if u.verifier.algorithm != nil {
			u.source.Watch(u.verifier.algorithm.New)
		}
		for {
			offset, err := u.decide(ctx, s)
			if err != nil {
				return err
			}
			progress = progress || (u.started && offset > u.reached)
			u.reached = max(u.reached, offset)
			u.start(n, u.source.Size(), offset)
			u.started = true
			if err = u.move(ctx, s, offset); err == nil {
				err = u.prove(ctx, s)
			}
			if err == nil {
				err = u.commit(ctx, s)
			}
			again, ferr := u.fallBack(ctx, s, err)
			if ferr != nil {
				return ferr
			}
			if !again {
				return err
			}
		}
	})
	var failed *session.SourceError
	if errors.As(err, &failed) {
		err = retry.Permanent(err)
	}
	return progress, err
}

// settle applies the ExistingPolicy, once.
func (u *upload) settle(ctx context.Context, s *session.Session) (done bool, err error) {
	if u.settled {
		return false, nil
	}
	done, err = u.settleRemote(ctx, s)
	u.settled = err == nil
	return done, err
}

func (u *upload) settleRemote(ctx context.Context, s *session.Session) (done bool, err error) {
	if u.opts.Existing == Overwrite {
		return false, nil
	}
	e, err := stat(ctx, s, u.remote)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case u.opts.Existing == FailExisting:
		return false, fmt.Errorf("remote target: %w", fs.ErrExist)
	case u.opts.Existing == SkipSame && (e.Size != u.source.Size() || !sameTime(e.ModTime, u.source.ModTime())):
		return false, nil
	}
	u.skip(e.Size)
	return true, nil
}

// decide says where to go on: at the end of what the server holds, if that is proved to be the source's beginning.
func (u *upload) decide(ctx context.Context, s *session.Session) (int64, error) {
	if !u.source.Resumable() || u.restarts || (!u.opts.Resume && !u.started) {
		return u.rewind(0)
	}
	size, err := u.part.Size(ctx, s)
	if err != nil || size == 0 {
		return u.rewindIf(err)
	}
	err = u.part.Prove(ctx, s, size, u.source)
	switch {
	case err == nil:
		if !u.started {
			u.result.ResumedFrom = size
		}
		return u.rewind(size)
	case errors.Is(err, remotepart.ErrGrowing):
		return 0, retry.Transient(err)
	case refused(err) == nil && !errors.Is(err, remotepart.ErrDiffers):
		return 0, err
	}
	return u.rewindIf(u.startOver(ctx, s, err))
}

func (u *upload) rewindIf(err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return u.rewind(0)
}

func (u *upload) rewind(offset int64) (int64, error) {
	return offset, retry.Permanent(u.source.Rewind(offset))
}

// startOver gives up what the server holds, and its name: nothing under it is trusted any more.
func (u *upload) startOver(ctx context.Context, s *session.Session, reason error) error {
	u.result.RestartReason, u.result.ResumedFrom = reason.Error(), 0
	if err := u.part.Remove(ctx, s); err != nil {
		return err
	}
	u.part.Renew()
	return nil
}

// errNoContinuing is the error of a server that takes neither REST before STOR nor APPE.
var errNoContinuing = errors.New("the server continues no uploads")

// fallBack finds another way for a server that refuses the one that was tried.
func (u *upload) fallBack(ctx context.Context, s *session.Session, err error) (again bool, _ error) {
	switch {
	case errors.Is(err, errNoContinuing):
		u.restarts = true
		return true, u.startOver(ctx, s, err)
	case errors.Is(err, remotepart.ErrNoRename) && u.opts.InPlace && u.source.Repeatable():
		if err := u.part.Remove(ctx, s); err != nil {
			return false, err
		}
		u.part.InPlace()
		u.restarts, u.proved = true, nil
		return true, nil
	}
	return false, nil
}

// move sends the source from offset on.
func (u *upload) move(ctx context.Context, s *session.Session, offset int64) error {
	if offset > 0 && offset == u.source.Size() {
		return nil
	}
	name, moving := u.part.Name(), u.moving(func(n int) { u.meter.add(int64(n)) })
	var sent int64
	var err error
	if offset > 0 && u.appends {
		sent, err = s.Append(ctx, name, u.source.Content(), moving)
	} else {
		sent, err = s.Store(ctx, name, offset, u.source.Content(), moving)
	}
	u.result.Transferred += sent
	r := refused(err)
	switch {
	case r == nil || sent > 0 || !s.Usable():
		return err
	case offset > 0 && (r.Code == 425 || r.Code == 452 || r.Code == 552 || r.Code == 553):
		return err // neither is about continuing
	case offset > 0 && u.appends:
		return fmt.Errorf("%w: %w", errNoContinuing, err)
	case offset > 0: // ProFTPD answers 451 to STOR after REST, by default
		u.appends = true
		return u.move(ctx, s, offset)
	case !u.made && (r.Code == 550 || r.Code == 553 || r.Code == 450 || r.Code == 451):
		made, merr := mkdirAll(ctx, s, strings.TrimSuffix(path.Dir(u.remote), "."))
		if merr != nil && refused(merr) == nil {
			return merr // the connection's: what became of MKD is seen by the next attempt
		}
		if merr != nil || !made {
			return errors.Join(err, merr)
		}
		u.made = true
		return u.move(ctx, s, offset)
	}
	return err
}

// prove finds the whole source, unchanged, under the temporary name.
func (u *upload) prove(ctx context.Context, s *session.Session) error {
	if err := u.source.Check(); err != nil {
		return retry.Permanent(fmt.Errorf("%w: %w", ErrMismatch, err))
	}
	sent := u.source.Offset()
	u.result.Bytes, u.result.Verification = sent, Verification{}
	proof := remotepart.Proof{Size: sent}
	if u.opts.Verify != VerifyNone {
		look, err := s.Look(ctx, u.part.Name())
		if err != nil {
			return err
		}
		if look.SizeErr == nil {
			if look.Size != sent {
				return retry.Transient(fmt.Errorf("the server holds %d of %d bytes that it called complete", look.Size, sent))
			}
			u.result.Verification = sizeProof(sent, look.Size)
		}
		proof.ModTime = look.ModTime
	}
	verification, err := u.verifier.prove(ctx, s, u.part.Name(), sent, u.source.Sum())
	if verification.Method > u.result.Verification.Method {
		u.result.Verification = verification
	}
	if u.verifier.startsOver(err) {
		u.result.RestartReason = err.Error()
		return errors.Join(retry.Transient(err), u.part.Remove(ctx, s))
	}
	if err == nil {
		u.proved = &proof
	}
	return err
}

// commit gives the file its time and its name.
func (u *upload) commit(ctx context.Context, s *session.Session) error {
	if u.preservesTime() && !u.source.ModTime().IsZero() {
		u.proved.ModTime = time.Time{} // unknown until the server has answered
		err := s.SetModTime(ctx, u.part.Name(), u.source.ModTime())
		if err != nil && refused(err) == nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		if err != nil {
			u.log.Warn("ftp server does not set times", slog.String("cause", err.Error()))
		}
	}
	if u.opts.Existing == FailExisting && !u.part.IsInPlace() {
		if _, err := u.settleRemote(ctx, s); err != nil {
			return err
		}
	}
	return u.part.Commit(ctx, s)
}
