package ftptest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

func isUpload(cmd string) bool { return cmd == "STOR" || cmd == "APPE" || cmd == "STOU" }

func isListing(cmd string) bool { return cmd == "LIST" || cmd == "NLST" || cmd == "MLSD" }

func isTransfer(cmd string) bool { return isUpload(cmd) || isListing(cmd) || cmd == "RETR" }

// do does one command. An error ends the session.
func (s *session) do(c command) error {
	o := &s.srv.opts
	if o.OnCommand != nil {
		o.OnCommand(c.cmd, c.arg)
	}
	fault := s.srv.takeFault(c.cmd, c.arg)
	switch {
	case fault.is(StallControl):
		return s.stall()
	case fault.is(CutControl, CutBoth) && fault.After == 0:
		s.cutControl()
		return errGone
	case fault.is(Refuse):
		return s.answer(c, fault, "")
	}
	if o.Command != nil {
		if text, handled := o.Command(c.cmd, c.arg); handled {
			if text != "" && !strings.HasSuffix(text, "\n") {
				text += "\r\n"
			}
			return s.answer(c, fault, text)
		}
	}
	restarted := s.restart
	s.restart = false
	if refusal := s.refusal(c, restarted); refusal != "" {
		return s.answer(c, fault, refusal+"\r\n")
	}
	switch {
	case isTransfer(c.cmd):
		return s.transfer(c, fault)
	case c.cmd == "AUTH":
		return s.auth(c, fault)
	case c.cmd == "PBSZ":
		return s.answer(c, fault, "200 PBSZ set to 0\r\n")
	case c.cmd == "PROT":
		s.private = strings.EqualFold(c.arg, "P")
		return s.answer(c, fault, "200 PROT is "+c.arg+"\r\n")
	case c.cmd == "EPSV", c.cmd == "PASV", c.cmd == "PORT", c.cmd == "EPRT":
		return s.prepare(c, fault)
	case c.cmd == "STAT" && c.arg != "" && o.Stat != StatLibrary:
		return s.stat(c, fault)
	}
	reply, err := s.ask(c.line)
	if err != nil {
		return err
	}
	switch c.cmd {
	case "FEAT":
		reply = s.features(reply)
	case "STAT":
		reply = bytes.ReplaceAll(reply, []byte("\n %s"), []byte("\n ")) // ftpserverlib writes its own verb out
	case "REST":
		s.restart = c.arg != "0" && bytes.HasPrefix(reply, []byte("350"))
	}
	if err := s.answer(c, fault, string(reply)); err != nil {
		return err
	}
	if bytes.HasPrefix(reply, []byte("221")) || bytes.HasPrefix(reply, []byte("530 Authentication")) {
		return errGone // the backend hangs up too
	}
	return nil
}

// refusal returns the reply to a command that the options forbid, or "".
func (s *session) refusal(c command, restarted bool) string {
	o := &s.srv.opts
	hidden := slices.ContainsFunc(o.HideFeatures, func(f string) bool { return strings.EqualFold(f, c.cmd) })
	switch {
	case hidden, c.cmd == "REST" && o.NoREST, c.cmd == "APPE" && o.NoAppend,
		o.NoMLSD && (c.cmd == "MLSD" || c.cmd == "MLST"):
		return "500 Unknown command"
	case c.cmd == "RNFR" && o.NoRename:
		return "550 Renaming is not allowed"
	case c.cmd == "STOR" && restarted && o.RestStorRefused:
		return "451 " + c.arg + ": append/restart not permitted, try again"
	case o.TLS == Plain && (c.cmd == "AUTH" || c.cmd == "PBSZ" || c.cmd == "PROT"):
		return "502 TLS is not configured"
	case !s.secured && (c.cmd == "PBSZ" || c.cmd == "PROT"):
		return "503 AUTH TLS first"
	case o.TLS != Plain && !s.secured && (c.cmd == "USER" || c.cmd == "PASS"):
		return "530 AUTH TLS first"
	case o.TLS != Plain && !s.private && isTransfer(c.cmd):
		return "522 Data connections must be encrypted"
	}
	return ""
}

func (s *session) auth(c command, fault *Fault) error {
	switch {
	case s.secured:
		return s.answer(c, fault, "503 TLS is on already\r\n")
	case !slices.Contains([]string{"TLS", "TLS-C", "SSL"}, strings.ToUpper(c.arg)):
		return s.answer(c, fault, "504 Unknown mechanism\r\n")
	}
	if err := s.answer(c, fault, "234 Proceed with negotiation\r\n"); err != nil {
		return err
	}
	return s.secure()
}

// features rewrites the reply to FEAT.
func (s *session) features(reply []byte) []byte {
	o := &s.srv.opts
	lines := strings.Split(strings.TrimRight(string(reply), "\r\n"), "\r\n")
	if len(lines) < 2 {
		return reply
	}
	var b strings.Builder
	b.WriteString(lines[0] + "\r\n")
	features := lines[1 : len(lines)-1]
	if o.TLS != Plain {
		features = append(slices.Clone(features), " AUTH TLS", " PBSZ", " PROT")
	}
	for _, f := range features {
		if strings.HasSuffix(f, ";") && !o.HashQuirk {
			f = " HASH" + f // draft-bryan-ftp-hash names the command before its algorithms
		}
		word, _, _ := strings.Cut(strings.TrimSpace(f), " ")
		hidden := slices.ContainsFunc(o.HideFeatures, func(h string) bool { return strings.EqualFold(h, word) })
		if hidden || (word == "REST" && o.NoREST) {
			continue
		}
		b.WriteString(f + "\r\n")
	}
	b.WriteString(lines[len(lines)-1] + "\r\n")
	return []byte(b.String())
}

// prepare answers PASV, EPSV, PORT and EPRT. The backend is always asked for EPSV: the proxy connects on both sides.
func (s *session) prepare(c command, fault *Fault) error {
	s.plan(nil)
	if c.cmd == "PASV" && s.srv.opts.IPv6 {
		return s.answer(c, fault, "501 PASV has no place for an IPv6 address\r\n")
	}
	reply, err := s.ask("EPSV")
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(reply, []byte("229")) {
		return s.answer(c, fault, string(reply))
	}
	port, err := epsvPort(string(reply))
	if err != nil {
		return err
	}
	var plan *dataPlan
	var answer string
	switch c.cmd {
	case "PORT", "EPRT":
		peer, err := activePeer(c)
		if err != nil {
			return s.answer(c, fault, "501 "+err.Error()+"\r\n")
		}
		plan, answer = activePlan(s, peer, port), "200 "+c.cmd+" command successful\r\n"
	default:
		if plan, err = passivePlan(s, port); err != nil {
			return err
		}
		p := portOf(plan.listener)
		answer = fmt.Sprintf("229 Entering Extended Passive Mode (|||%d|)\r\n", p)
		if c.cmd == "PASV" {
			answer = fmt.Sprintf("227 Entering Passive Mode (127,0,0,1,%d,%d).\r\n", p>>8, p&0xff)
		}
	}
	s.plan(plan)
	return s.answer(c, fault, answer)
}

// plan replaces what is prepared for the next transfer.
func (s *session) plan(p *dataPlan) {
	if s.pending != nil {
		s.pending.close()
	}
	s.pending = p
}
