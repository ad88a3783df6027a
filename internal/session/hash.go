package session

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/corexalgo/ftpclient/internal/digest"
	"github.com/corexalgo/ftpclient/internal/reply"
)

// hashes are the digests that servers compute, in the order in which they are preferred: processors have instructions for
// SHA-256. verbs are the commands from before HASH (draft-bryan-ftpext-hash).
var hashes = []struct {
	digest.Algorithm
	verbs []string
}{
	{digest.SHA256, []string{"XSHA256"}},
	{digest.SHA512, []string{"XSHA512"}},
	{digest.SHA384, nil},
	{digest.SHA224, nil},
	{digest.SHA1, []string{"XSHA1", "XSHA"}},
	{digest.MD5, []string{"XMD5", "MD5"}},
	{digest.CRC32, []string{"XCRC"}},
}

// hashRate is what a server is trusted to read and digest at least, in bytes a second.
const hashRate = 16 << 20

// ErrNoDigest is the error of an answer that is not the digest that was asked for: of another algorithm, of another file, of
// another part of it, or of none. The session is in step.
var ErrNoDigest = errors.New("the server's answer is not the digest that was asked for")

// refusals are what a server turned out not to do though it offers it. The zero value is ready.
type refusals struct{ m sync.Map }

func (r *refusals) add(what string) { r.m.Store(what, nil) }

func (r *refusals) has(what string) bool {
	_, ok := r.m.Load(what)
	return ok
}

// Algorithms are the digests that the server says it can compute, and has not refused to, the best first.
func (s *Session) Algorithms() []digest.Algorithm {
	var offered []digest.Algorithm
	for _, h := range hashes {
		if len(s.hashVerbs(h.Algorithm)) > 0 {
			offered = append(offered, h.Algorithm)
		}
	}
	return offered
}

// hashVerbs are the commands that give the digest: HASH, if it has the algorithm, and those of its own.
func (s *Session) hashVerbs(a digest.Algorithm) []string {
	var verbs []string
	if s.hashOption(a) != "" && !s.cfg.Quirks.hash.has("HASH "+a.Name) {
		verbs = append(verbs, "HASH")
	}
	for _, h := range hashes {
		if h.Name == a.Name {
			verbs = append(verbs, h.verbs...)
		}
	}
	return slices.DeleteFunc(verbs, func(verb string) bool { return !s.features.Has(verb) || s.cfg.Quirks.hash.has(verb) })
}

// hashOption is what FEAT's HASH line calls the algorithm; "" if it does not.
func (s *Session) hashOption(a digest.Algorithm) string {
	for _, option := range strings.Split(s.features["HASH"], ";") {
		option = strings.Trim(option, "* ")
		if found, ok := digest.ByName(option); ok && found.Name == a.Name {
			return option
		}
	}
	return ""
}

// PrepareHash has the server set the algorithm, where it must be set before HASH, and reports whether it still offers it.
func (s *Session) PrepareHash(ctx context.Context, a digest.Algorithm) (offered bool, err error) {
	if verbs := s.hashVerbs(a); len(verbs) > 0 && verbs[0] == "HASH" {
		err = s.do(ctx, func() error { return s.selectHash(a) })
	}
	if errors.Is(err, ErrNoDigest) || (s.Usable() && reply.Code(err) != 0) {
		err = nil // what it refused for good is not offered any more
	}
	return err == nil && len(s.hashVerbs(a)) > 0, err
}

// A part is what of a file is digested.
type part struct {
	bytes  int64 // from its beginning on; -1 unknown, of a whole file
	prefix bool  // not all of it
}

// Hash asks the server for the digest of a whole file, in lower-case hex. size, -1 unknown, says how long that may take, and
// is held against what the server says that it digested. Of the server's commands those that it refuses are not tried
// again, whichever session asks.
func (s *Session) Hash(ctx context.Context, a digest.Algorithm, name string, size int64) (sum string, err error) {
	err = s.do(ctx, func() (err error) {
		arg, err := s.hashArg(name)
		if err != nil {
			return err
		}
		err = inStep(fmt.Errorf("%s: %w", a.Name, errors.ErrUnsupported))
		for _, verb := range s.hashVerbs(a) {
			if sum, err = s.hash(verb, a, arg, part{bytes: size}); err == nil || !unanswered(err) {
				return err
			}
		}
		return err
	})
	return sum, err
}

// unanswered tells that another command may do better: this one was refused, and not for now only, or misunderstood.
func unanswered(err error) bool {
	return errors.Is(err, ErrNoDigest) || reply.Code(err)/100 == 5
}

// HasPrefix reports whether want is the digest of the file's first n bytes, n > 0, as the server has them. Where it does not
// digest parts of files the error is ErrNoDigest, errors.ErrUnsupported, or its refusal.
func (s *Session) HasPrefix(ctx context.Context, a digest.Algorithm, name string, n int64, want string) (same bool, err error) {
	err = s.do(ctx, func() (err error) {
		arg, err := s.hashArg(name)
		if err != nil {
			return err
		}
		err = inStep(fmt.Errorf("%s of a part: %w", a.Name, errors.ErrUnsupported))
		verbs := s.hashVerbs(a)
		slices.Reverse(verbs) // HASH last: ProFTPD takes RANG, but not for HASH
		for _, verb := range verbs {
			if verb == "MD5" || s.cfg.Quirks.hash.has("part "+verb) || (verb == "HASH" && !strings.Contains(s.features["RANG"], "STREAM")) {
				continue
			}
			if same, err = s.hasPrefix(verb, a, arg, n, want); err == nil || !unanswered(err) {
				return err
			}
		}
		return err
	})
	return same, err
}

// hasPrefix settles what the server means by the end of a part: servers disagree whether the last byte is that before it.
// One that gives the same digest for two different parts ignores them.
func (s *Session) hasPrefix(verb string, a digest.Algorithm, arg string, n int64, want string) (bool, error) {
	sum, err := s.hash(verb, a, arg, part{n, true})
	if err != nil || sum == want || verb == "HASH" || n < 2 { // HASH says what it has digested
		return sum == want, err
	}
	other, err := s.hash(verb, a, arg, part{n - 1, true})
	if err == nil && other == sum {
		s.cfg.Quirks.hash.add("part " + verb)
		err = inStep(fmt.Errorf("%w: %s is the same for different parts", ErrNoDigest, verb))
	}
	return err == nil && other == want, err
}

// hashArg is the name as hash commands take it: absolute, on ftpserverlib.
func (s *Session) hashArg(name string) (string, error) {
	arg, err := s.encode(name)
	if err != nil || path.IsAbs(arg) {
		return arg, err
	}
	if err := s.findHome(); err != nil {
		return "", err
	}
	return path.Join(s.home, arg), nil
}

// hash asks by one command, in each of its forms in turn until one is understood.
func (s *Session) hash(verb string, a digest.Algorithm, arg string, p part) (sum string, err error) {
	if verb == "HASH" {
		if err := s.selectHash(a); err != nil {
			return "", err
		}
		if p.prefix {
			return s.hashRange(a, arg, p)
		}
	}
	forms := hashForms(verb, arg)
	for _, form := range forms {
		sum, err = s.askHash(verb, a, form, arg, p)
		if err == nil || !unanswered(err) {
			return sum, err
		}
	}
	if code := reply.Code(err); (code == 500 || code == 502) && !p.prefix && len(forms) == 1 && forms[0] == arg {
		s.cfg.Quirks.hash.add(verb) // it cannot be for the name's sake
	}
	return "", err
}

// hashForms are the ways to write a name. HASH and MD5 take the rest of the line, but not on ftpserverlib, which wants a name
// with blanks quoted. So do all servers for the other commands, where what follows a blank is a number. A server that takes
// the first word alone answers with another file's digest: HASH and MD5 repeat the name, so that this is seen.
func hashForms(verb, arg string) []string {
	blank, quote := strings.Contains(arg, " "), strings.Contains(arg, `"`)
	quoted := `"` + strings.ReplaceAll(arg, `"`, `""`) + `"`
	switch {
	case !blank && !quote:
		return []string{arg}
	case blank && verb == "MD5": // of two servers that misunderstand a form ProFTPD says so, ftpserverlib does not
		return []string{quoted, arg}
	case blank && verb != "HASH":
		return []string{quoted}
	}
	return []string{arg, quoted}
}

// selectHash sets the algorithm of HASH, which stays set for the connection.
func (s *Session) selectHash(a digest.Algorithm) error {
	if s.hashing == a.Name {
		return nil
	}
	if s.hashing == "" { // FEAT marks the one that is set at first
		for _, option := range strings.Split(s.features["HASH"], ";") {
			if marked, ok := strings.CutSuffix(strings.TrimSpace(option), "*"); ok {
				if found, ok := digest.ByName(marked); ok && found.Name == a.Name {
					s.hashing = a.Name
					return nil
				}
			}
		}
	}
	s.hashing = "?" // until the server has answered
	r, err := s.raw("OPTS HASH " + s.hashOption(a))
	if err != nil {
		if reply.Code(err)/100 == 5 && !s.ctl.LoggedOut() { // there is no file that it could be about
			s.cfg.Quirks.hash.add("HASH " + a.Name)
		}
		return err
	}
	for _, word := range strings.Fields(r.Text()) {
		if found, ok := digest.ByName(word); ok && found.Name != a.Name {
			s.cfg.Quirks.hash.add("HASH " + a.Name)
			return inStep(fmt.Errorf("%w: OPTS HASH %s: %s", ErrNoDigest, a.Name, reply.Quote(r.Text())))
		}
	}
	s.hashing = a.Name
	return nil
}

// hashRange has HASH digest a part, by RANG (draft-bryan-ftp-range), whose last byte is in it. The range would apply to a
// transfer, too, and is taken back whatever happens.
func (s *Session) hashRange(a digest.Algorithm, arg string, p part) (sum string, err error) {
	if _, err := s.ask(fmt.Sprintf("RANG 0 %d", p.bytes-1), 350); err != nil {
		return "", err
	}
	for _, form := range hashForms("HASH", arg) {
		if sum, err = s.askHash("HASH", a, form, arg, p); err == nil || !unanswered(err) {
			break
		}
	}
	if s.ctl.Err() != nil {
		return "", err
	}
	if _, rerr := s.ask("RANG 1 0", 350); rerr != nil { // no refusal to the caller, but the end of the session
		return "", fmt.Errorf("%w: a byte range cannot be taken back: %v", reply.ErrMalformed, rerr) //nolint:errorlint // see above
	}
	if errors.Is(err, ErrNoDigest) {
		s.cfg.Quirks.hash.add("part HASH")
	}
	return sum, err
}

// askHash sends one command and reads the digest out of its reply.
func (s *Session) askHash(verb string, a digest.Algorithm, form, arg string, p part) (string, error) {
	line := verb + " " + form
	if p.prefix && verb != "HASH" {
		line += fmt.Sprintf(" 0 %d", p.bytes)
	}
	r, err := s.patiently(line, p.bytes)
	if err != nil {
		return "", err
	}
	answer := hashAnswer{verb: verb, algorithm: a, arg: arg, part: p, named: form == arg && strings.Contains(arg, " ")}
	sum, err := answer.read(r)
	if err != nil {
		if verb == "HASH" {
			s.hashing = "?" // the server may have set something else
		}
		return "", inStep(fmt.Errorf("%w: %w: %s: %s", ErrNoDigest, err, verb, reply.Quote(r.Text())))
	}
	return sum, nil
}

// patiently sends a command whose reply has to wait until the server has read so many bytes.
func (s *Session) patiently(line string, bytes int64) (reply.Reply, error) {
	if err := s.ctl.Send(line); err != nil {
		return reply.Reply{}, err
	}
	for {
		s.ctl.SetNextTimeout(s.cfg.ReplyTimeout + time.Duration(max(0, bytes)/hashRate)*time.Second)
		r, err := s.ctl.Reply()
		if err == nil {
			err = s.ctl.Err() // 421: the server is leaving
		}
		switch {
		case err != nil:
			return r, err
		case r.Preliminary():
			continue
		case !r.Done():
			return r, reply.Err(verb(line), r)
		}
		return r, nil
	}
}
