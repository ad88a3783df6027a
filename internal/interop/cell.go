package interop

import (
	"crypto/tls"
	"fmt"
	"strings"
	"time"
)

// The servers that Start knows.
const (
	VSFTPD   = "vsftpd"
	ProFTPD  = "proftpd"
	PureFTPD = "pure-ftpd"
)

// The values of Cell.TLS.
const (
	Plain    = "plain"
	Explicit = "explicit"
	Implicit = "implicit"
)

// Cell is one combination of server and settings. With TLS on, the server
// refuses a control or a data connection without it.
type Cell struct {
	Server       string // VSFTPD, ProFTPD or PureFTPD
	TLS          string // Plain, Explicit or Implicit; "" is Plain
	MaxTLS       uint16 // tls.VersionTLS12 or tls.VersionTLS13; 0 is TLS 1.3
	RequireReuse bool   // data connections must resume the control connection's TLS session
	Options
}

// Options are settings besides TLS. The zero value is what Debian ships, with
// uploads and, for ProFTPD, TLS session tickets allowed.
type Options struct {
	Hidden         bool          // listings show dot files even where the client does not ask
	IdleTimeout    time.Duration // whole seconds (Pure-FTPd: whole minutes); 0 is the server's default
	MaxConns       int           // control connections from one host; 0 is 200
	BytesPerSecond int           // of one connection; Pure-FTPd counts in KiB; 0 is unlimited
	StoreRestart   bool          // ProFTPD: REST before STOR, which it refuses by default
	NoOverwrite    bool          // ProFTPD: STOR onto an existing file is refused

	// SessionIDs leaves ProFTPD's TLSSessionTickets off, as it is by default: TLS
	// 1.2 sessions are then resumed by session ID, which crypto/tls cannot do. With
	// RequireReuse and TLS 1.2 no Go client can open a data connection.
	SessionIDs bool
}

// Cells returns every combination of server, TLS mode, TLS version and session
// reuse that the servers offer, with the zero Options.
func Cells() []Cell {
	var cells []Cell
	for _, server := range []string{VSFTPD, ProFTPD, PureFTPD} {
		cells = append(cells, Cell{Server: server, TLS: Plain})
		for _, mode := range []string{Explicit, Implicit} {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				for _, reuse := range []bool{false, true} {
					c := Cell{Server: server, TLS: mode, MaxTLS: version, RequireReuse: reuse}
					if c.Check() == nil {
						cells = append(cells, c)
					}
				}
			}
		}
	}
	return cells
}

// Check says why the server cannot run with these settings; nil when it can.
func (c Cell) Check() error {
	switch {
	case c.Server != VSFTPD && c.Server != ProFTPD && c.Server != PureFTPD:
		return fmt.Errorf("unknown server %q", c.Server)
	case !c.secure() && c.TLS != Plain && c.TLS != "":
		return fmt.Errorf("unknown TLS mode %q", c.TLS)
	case c.MaxTLS != 0 && c.MaxTLS != tls.VersionTLS12 && c.MaxTLS != tls.VersionTLS13:
		return fmt.Errorf("unknown TLS version %#x", c.MaxTLS)
	case c.RequireReuse && !c.secure():
		return fmt.Errorf("%s: session reuse without TLS", c.Server)
	case c.IdleTimeout%time.Second != 0 || c.IdleTimeout < 0:
		return fmt.Errorf("%s: the idle time-out is in whole seconds, not %v", c.Server, c.IdleTimeout)
	case c.Server != ProFTPD && (c.StoreRestart || c.NoOverwrite || c.SessionIDs):
		return fmt.Errorf("%s: StoreRestart, NoOverwrite and SessionIDs not offered", c.Server)
	}
	if c.Server != PureFTPD {
		return nil
	}
	switch {
	case c.TLS == Implicit:
		return fmt.Errorf("%s: implicit TLS not offered", c.Server)
	case c.RequireReuse:
		return fmt.Errorf("%s: required session reuse not offered", c.Server)
	case c.IdleTimeout%time.Minute != 0:
		return fmt.Errorf("%s: the idle time-out is in whole minutes, not %v", c.Server, c.IdleTimeout)
	case c.BytesPerSecond%1024 != 0:
		return fmt.Errorf("%s: the rate is in KiB, not %d bytes", c.Server, c.BytesPerSecond)
	}
	return nil
}

// String names the cell for a subtest, such as vsftpd/explicit/tls1.3/reuse.
func (c Cell) String() string {
	if !c.secure() {
		return c.Server + "/" + Plain
	}
	parts := []string{c.Server, c.TLS, strings.ToLower(strings.ReplaceAll(tls.VersionName(c.maxTLS()), " ", ""))}
	if c.RequireReuse {
		parts = append(parts, "reuse")
	}
	return strings.Join(parts, "/")
}

func (c Cell) secure() bool { return c.TLS == Explicit || c.TLS == Implicit }

func (c Cell) maxTLS() uint16 {
	if c.MaxTLS == 0 {
		return tls.VersionTLS13
	}
	return c.MaxTLS
}

func (c Cell) maxConns() int {
	if c.MaxConns == 0 {
		return 200
	}
	return c.MaxConns
}
