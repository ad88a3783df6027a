package ftptest

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// Answer answers a command of a scripted server; handled false leaves it to the default. A reply may have
// several lines, needs no line end, and may be empty: then nothing is said.
type Answer func(cmd, arg string) (reply string, handled bool)

// Replies answers by a map, whose keys are "CMD arg" or "CMD"; the longer one wins. "CONNECT" is the greeting.
func Replies(m map[string]string) Answer {
	return func(cmd, arg string) (string, bool) {
		if reply, ok := m[strings.TrimSpace(cmd+" "+arg)]; ok {
			return reply, true
		}
		reply, ok := m[cmd]
		return reply, ok
	}
}

// ScriptFTP starts a server of few words over files in memory: whatever answer does not handle is done as an
// ordinary server would. LIST, NLST and MLSD send files["LIST"], files["NLST"] and files["MLSD"]. Uploads can be
// downloaded again; files itself is copied and not written.
func ScriptFTP(tb TB, files map[string]string, answer Answer) *ScriptServer {
	tb.Helper()
	st := &store{files: map[string]string{}}
	for name, content := range files {
		st.files[name] = content
	}
	return Script(tb, func(c *Conn) {
		f := &scriptFTP{c: c, store: st, answer: answer}
		f.run()
	})
}

type store struct {
	mu    sync.Mutex
	files map[string]string // guarded by mu
}

func (s *store) get(name string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, ok := s.files[strings.TrimPrefix(name, "/")]
	return content, ok
}

func (s *store) rename(from, to string) {
	if content, ok := s.get(from); ok {
		s.put(to, content)
	}
}

func (s *store) put(name, content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[strings.TrimPrefix(name, "/")] = content
}

type scriptFTP struct {
	c      *Conn
	store  *store
	answer Answer
	data   *DataListener
	from   string // of RNFR
	rest   int
}

var scriptReplies = map[string]string{
	"CONNECT": "220 ready",
	"USER":    "331 password",
	"PASS":    "230 in",
	"FEAT":    "211-Features:\r\n EPSV\r\n MDTM\r\n REST STREAM\r\n SIZE\r\n UTF8\r\n211 End",
	"TYPE":    "200 ok",
	"OPTS":    "200 ok",
	"NOOP":    "200 ok",
	"PWD":     `257 "/" is the current directory`,
	"CWD":     "250 ok",
	"MDTM":    "213 20240102030405",
	"QUIT":    "221 bye",
	"DELE":    "250 gone",
	"RNFR":    "350 and now?",
	"RNTO":    "250 renamed",
}

func (f *scriptFTP) run() {
	if !f.say("CONNECT", "") {
		f.c.Send(scriptReplies["CONNECT"] + "\r\n")
	}
	for {
		c := parseCommand(f.c.ReadLine())
		switch {
		case f.say(c.cmd, c.arg):
		case c.cmd == "EPSV", c.cmd == "PASV":
			f.listen(c.cmd)
		case c.cmd == "SIZE":
			f.size(c.arg)
		case c.cmd == "REST":
			_, _ = fmt.Sscan(c.arg, &f.rest)
			f.c.Send("350 restarting\r\n")
		case isUpload(c.cmd):
			f.receive(c.arg)
		case c.cmd == "RETR":
			f.send(c.arg)
		case isListing(c.cmd):
			f.send(c.cmd)
		default:
			switch c.cmd {
			case "RNFR":
				f.from = c.arg
			case "RNTO":
				f.store.rename(f.from, c.arg)
			}
			reply, ok := scriptReplies[c.cmd]
			if !ok {
				reply = "500 Unknown command"
			}
			f.c.Send(reply + "\r\n")
		}
		if c.cmd == "QUIT" {
			return
		}
	}
}

// say gives the test's answer and reports whether there is one.
func (f *scriptFTP) say(cmd, arg string) bool {
	if f.answer == nil {
		return false
	}
	reply, handled := f.answer(cmd, arg)
	if handled && reply != "" {
		if !strings.HasSuffix(reply, "\n") {
			reply += "\r\n"
		}
		f.c.Send(reply)
	}
	return handled
}

func (f *scriptFTP) listen(cmd string) {
	if f.data != nil {
		f.data.Close()
	}
	f.data = f.c.Listen()
	if cmd == "PASV" {
		f.c.Send(f.data.PASV())
		return
	}
	f.c.Send(f.data.EPSV())
}

func (f *scriptFTP) size(name string) {
	content, ok := f.store.get(name)
	if !ok {
		f.c.Send("550 No such file\r\n")
		return
	}
	f.c.Send(fmt.Sprintf("213 %d\r\n", len(content)))
}

func (f *scriptFTP) send(name string) {
	content, ok := f.store.get(name)
	if !ok && name != "LIST" && name != "NLST" && name != "MLSD" {
		f.c.Send("550 No such file\r\n")
		return
	}
	content = content[min(f.rest, len(content)):]
	f.transfer(func(data io.ReadWriter) { _, _ = io.WriteString(data, content) })
}

func (f *scriptFTP) receive(name string) {
	old, _ := f.store.get(name)
	old = old[:min(f.rest, len(old))]
	f.transfer(func(data io.ReadWriter) {
		content, _ := io.ReadAll(data)
		f.store.put(name, old+string(content))
	})
}

func (f *scriptFTP) transfer(move func(data io.ReadWriter)) {
	f.rest = 0
	if f.data == nil {
		f.c.Send("425 Use EPSV first\r\n")
		return
	}
	data := f.data.Accept()
	f.data.Close()
	f.data = nil
	f.c.Send("150 here\r\n")
	move(data)
	f.c.server.untrack(data)
	f.c.Send("226 done\r\n")
}
