// Package ftptest runs an FTP server inside the process, for tests, examples and the quickstart.
//
// The server is ftpserverlib over a folder on disk, with a proxy before it that the client talks to. The
// proxy speaks TLS to the client, counts what passes, adds latency, and does wrong, on request, what a
// well-behaved server never would: see Fault. Everything listens on 127.0.0.1, or ::1, and a port that the kernel chose.
//
// Script and ScriptFTP serve what no real server says at all.
package ftptest

import (
	"net"
	"time"
)

// TB is the part of testing.TB that this package uses; it keeps "testing" out of programs that import it.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
	TempDir() string
}

// TLSMode says how the server speaks TLS.
type TLSMode int

// The three ways.
const (
	Plain    TLSMode = iota // no TLS; AUTH is refused
	Explicit                // AUTH TLS first: logins and transfers without it are refused
	Implicit                // TLS from the first byte
)

// Options configure a Server. The zero value serves an empty temporary folder in plain FTP.
type Options struct {
	Dir      string // folder to serve; "": a temporary one, removed at Close
	User     string // "user"
	Password string // "secret"
	Banner   string // text of the greeting, without its code; may have several lines

	TLS          TLSMode
	TLSMax       uint16 // highest TLS version; 0: 1.3
	ClientCert   bool   // clients must show a certificate of the server's CA, on control and data connections
	RequireReuse bool   // data connections must resume a TLS session of their own control connection, else 522

	Latency  time.Duration // one round trip, half of it in each direction; connecting costs one as well
	DataRate int64         // bytes per second of each data connection; 0: unlimited

	IPv6         bool          // listen on ::1; PASV, which knows no such addresses, is refused
	MaxConns     int           // control connections at a time; 0: unlimited
	TooManyReply string        // greeting of one too many: "421 Too many connections"
	IdleTimeout  time.Duration // an idle control connection is closed with 421; 0: never
	HoldFinal    bool          // the final reply of a download waits for the client to close its side, as on vsftpd

	ReadOnly     bool
	Hash         bool     // HASH, XCRC, XMD5, XSHA…
	HashQuirk    bool     // leave the hash line of FEAT without its word HASH, as ftpserverlib sends it
	NoMLSD       bool     // neither MLSD nor MLST
	NoREST       bool     // REST is unknown and not in FEAT
	NoAppend     bool     // APPE is unknown
	NoRename     bool     // RNFR is refused with 550
	HideFeatures []string // first words of lines left out of FEAT; as commands they are answered with 500

	Stat StatStyle // how STAT of a path is answered

	RenameRefusesExisting bool // RNTO onto something that exists: 550, as on IIS
	RestStorRefused       bool // STOR after REST n: 451, as ProFTPD by default

	// ListOnDataLines replaces what LIST, NLST or MLSD send; nil leaves it to the server.
	ListOnDataLines func(cmd, arg string) []byte
	// Reply rewrites any complete reply before it is sent; the greeting has cmd CONNECT. An empty result sends nothing.
	Reply func(cmd, arg string, reply []byte) []byte
	// Command answers a command in the server's place. An empty answer that is handled sends nothing.
	Command func(cmd, arg string) (answer string, handled bool)
	// OnCommand runs before a command is acted on: the place to change a file at an exact moment.
	OnCommand func(cmd, arg string)

	Faults []Fault
}

func (o Options) loopback() net.IP {
	if o.IPv6 {
		return net.IPv6loopback
	}
	return net.IPv4(127, 0, 0, 1)
}

func (o Options) withDefaults() Options {
	if o.User == "" {
		o.User = "user"
	}
	if o.Password == "" {
		o.Password = "secret"
	}
	if o.Banner == "" {
		o.Banner = "ftptest ready"
	}
	if o.TooManyReply == "" {
		o.TooManyReply = "421 Too many connections"
	}
	return o
}
