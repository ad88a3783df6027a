package ftptest

import (
	"strings"
)

// A StatStyle is how STAT of a path is answered.
type StatStyle int

// The styles.
const (
	StatLibrary  StatStyle = iota // as ftpserverlib does, to which "-a" is part of a name
	StatVSFTPD                    // names with a dot with or without "-a"; nothing of what is absent
	StatProFTPD                   // the same, rows indented by a blank; 450 for what is absent
	StatPureFTPD                  // names with a dot with "-a" only; nothing of what is absent
	StatCurrent                   // as StatVSFTPD, but always the current directory
)

// stat answers STAT of a path in the style asked for, with the rows that LIST has.
func (s *session) stat(c command, fault *Fault) error {
	style := s.srv.opts.Stat
	path, all := strings.CutPrefix(c.arg, "-a ")
	if style == StatCurrent {
		path = "."
	}
	raw, err := s.ask("STAT " + path)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimRight(string(raw), "\r\n"), "\r\n")
	found, isDir := strings.HasPrefix(lines[0], "21"), strings.HasPrefix(lines[0], "212")
	all = all || style != StatPureFTPD
	var rows []string
	if isDir && all {
		for _, name := range []string{".", ".."} {
			rows = append(rows, "drwxr-xr-x 1 ftp ftp            0 Jan  2  2024 "+name)
		}
	}
	if found {
		for _, line := range lines[1 : len(lines)-1] {
			row := strings.TrimPrefix(strings.TrimPrefix(line, " %s"), " ")
			if _, name, _ := strings.Cut(row, " ."); all || name == "" {
				rows = append(rows, row)
			}
		}
	}
	first, last, indent := "213-Status follows:", "213 End of status", ""
	if style == StatProFTPD {
		if !found {
			return s.answer(c, fault, "450 "+path+": No such file or directory\r\n")
		}
		first, last, indent = "212-Status of "+path+":", "212 End of status", " "
	}
	var b strings.Builder
	b.WriteString(first + "\r\n")
	for _, row := range rows {
		b.WriteString(indent + row + "\r\n")
	}
	b.WriteString(last + "\r\n")
	return s.answer(c, fault, b.String())
}
