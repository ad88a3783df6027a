package ftptest

import (
	"strings"
	"sync"
	"time"
)

// Action is what a Fault does.
type Action int

const (
	// CutData closes the data connection after After bytes, without close_notify under TLS; a truthful 426 follows.
	CutData Action = iota + 1
	// CutDataSilently ends a download after After bytes as if it were whole and answers 226. Of an upload it takes
	// every byte, keeps After of them, and answers 226.
	CutDataSilently
	// ResetData resets the data connection (RST) after After bytes; 426 follows.
	ResetData
	// StallData moves no byte past After and keeps everything open until the client goes.
	StallData
	// SlowData moves Rate bytes a second past After.
	SlowData
	// NoCloseNotify ends a download under TLS at its true end but without close_notify; 226 follows.
	NoCloseNotify
	// CutControl closes the control connection when the command arrives, or, with After, once a transfer has
	// moved that many bytes; the data connection then goes on.
	CutControl
	// CutBoth closes the control and the data connection, at the moments that CutControl does.
	CutBoth
	// StallReply does the command but never answers it; of a transfer the final reply is withheld.
	StallReply
	// StallControl does nothing from this command on, and answers nothing, with everything open.
	StallControl
	// Refuse answers Reply instead of doing the command.
	Refuse
	// FinalReply does the command and answers Reply; of a transfer it replaces the final reply.
	FinalReply
	// DropFinalReply does the command and closes the control connection instead of answering (a transfer: finally).
	DropFinalReply
	// ExtraReply sends Reply after the true (final) reply, in the same segment.
	ExtraReply
	// LateRefuse answers Reply and closes the data connection once After bytes have moved.
	LateRefuse
	// CorruptData flips a byte at offset After of a download or listing.
	CorruptData
	// CorruptUpload stores an upload with the byte at offset After flipped.
	CorruptUpload
	// SlowFinal waits for Delay before the (final) reply.
	SlowFinal
)

// Fault is one thing that goes wrong, and when.
type Fault struct {
	Cmd   string // the command, or CONNECT for the greeting, LOGIN for PASS; "": any command that Do makes sense for
	Path  string // a part of the command's argument; "": any
	Skip  int    // that many matching commands pass first
	Times int    // then it strikes that often; 0: always
	After int64  // bytes of content moved by this transfer (not counting REST) before it strikes
	Do    Action
	Reply string        // without line end; a 421 also closes the control connection
	Delay time.Duration // of SlowFinal
	Rate  int64         // of SlowData
}

// transferOnly tells whether f makes sense for transfers and nothing else.
func (f *Fault) transferOnly() bool {
	switch f.Do {
	case CutData, CutDataSilently, ResetData, StallData, SlowData, NoCloseNotify, LateRefuse, CorruptData, CorruptUpload:
		return true
	case CutControl, CutBoth:
		return f.After > 0
	default:
		return false
	}
}

// stops tells whether f strikes in the middle of the content.
func (f *Fault) stops() bool {
	return f != nil && f.transferOnly() && !f.is(SlowData, NoCloseNotify) && !f.corrupts()
}

func (f *Fault) corrupts() bool {
	return f != nil && (f.Do == CorruptData || f.Do == CorruptUpload)
}

// is tells whether f asks for one of the actions; a nil Fault asks for none.
func (f *Fault) is(actions ...Action) bool {
	if f == nil {
		return false
	}
	for _, a := range actions {
		if f.Do == a {
			return true
		}
	}
	return false
}

func (f *Fault) reply(fallback string) string {
	if f.Reply != "" {
		return f.Reply
	}
	return fallback
}

func (f *Fault) matches(cmd, arg string) bool {
	want := strings.ToUpper(f.Cmd)
	if want == "LOGIN" {
		want = "PASS"
	}
	switch {
	case want == "" && cmd == "CONNECT", want != "" && want != cmd:
		return false
	case f.transferOnly() && !isTransfer(cmd):
		return false
	case f.Do == CorruptData && isUpload(cmd), f.Do == CorruptUpload && !isUpload(cmd):
		return false
	}
	return strings.Contains(arg, f.Path)
}

// faults is the list in force. Skip and Times count when a command arrives, in the list's order, and at most one
// fault strikes a command.
type faults struct {
	mu   sync.Mutex
	list []*armed // guarded by mu, as are the counters
}

type armed struct {
	Fault
	seen, struck int
}

func (fs *faults) set(list []Fault) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = nil
	for _, f := range list {
		fs.list = append(fs.list, &armed{Fault: f})
	}
}

// take returns the fault that strikes this command, or nil.
func (fs *faults) take(cmd, arg string) *Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, a := range fs.list {
		if !a.matches(cmd, arg) {
			continue
		}
		a.seen++
		if a.seen <= a.Skip || (a.Times > 0 && a.struck >= a.Times) {
			continue
		}
		a.struck++
		f := a.Fault
		return &f
	}
	return nil
}
