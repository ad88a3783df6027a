// Package session is one logged-in connection to one FTP server: jlaffaye/ftp for the dialogue of transfers, over
// connections of package wire, so that every wait ends with its context or its own deadline and no reply is trusted
// before it was checked.
package session

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/text/encoding"
	"golang.org/x/time/rate"
)

// TLSMode says when TLS begins.
type TLSMode int

// The modes: never, by AUTH TLS (RFC 4217), or from the first byte on.
const (
	Plain TLSMode = iota
	Explicit
	Implicit
)

// Config is all that a Session needs to know; every field but Encoding, Zone, Limiter and Logger must be set.
type Config struct {
	Host           string
	Port           int
	User, Password string

	TLS       TLSMode
	TLSConfig *tls.Config // cloned for each connection; nil with Plain

	ConnectTimeout time.Duration // each of dial, TLS, greeting and login
	ReplyTimeout   time.Duration
	StallTimeout   time.Duration

	Encoding encoding.Encoding // of file names, user and password; nil: UTF-8
	Zone     *time.Location    // of LIST times; nil: UTC

	DisableEPSV, DisableMLSD, ListHidden, TrustPASVHost, Active bool

	MaxEntries int // of one directory; 0: ten million

	Limiter *rate.Limiter // all connections of the server together; nil: unlimited
	Logger  *slog.Logger  // nil discards

	// Dial opens control and data connections. Direct says that it reaches hosts itself: data connections then go to the
	// control connection's peer address; otherwise, through a proxy, to Host.
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	Direct bool

	Quirks *Quirks // shared by all sessions of a server; nil: the session's own
}

// Quirks is what the server turned out to be like, found once and remembered for its later sessions. Its zero value is
// ready.
type Quirks struct {
	PASV     atomic.Bool // EPSV is refused or leads nowhere: ask for PASV
	OneByOne atomic.Bool // commands sent together confused it
	Stepwise atomic.Bool // a login in one write had no answer: it may be that, or the line
	NoMLST   atomic.Bool // MLST or MLSD is offered and does not work

	telnet atomic.Pointer[bool] // it takes a byte 255 in a command for Telnet's; nil: it was not asked

	Restarts atomic.Bool // it was seen to begin in the middle of a file

	hash refusals // hash commands, "HASH " and an algorithm, "part " and a command that ignores parts

	Late  atomic.Bool // commands sent before the final reply to a download confused it
	Nagle atomic.Bool // it holds the final reply to an upload until it knows that the grant has arrived
	Hasty atomic.Bool // commands sent before the final reply to an upload confused it

	Lax      atomic.Bool // it granted RNFR by another reply than 350, which could be one to something else
	Dateless atomic.Bool // it refused to set a time in the way that is tried first
	Patient  atomic.Bool // content sent before it granted the upload went wrong

	lostGroup   atomic.Int32 // commands of a group among whose answers the connection was lost; 0: none, or as many were answered since
	earlyLost   atomic.Int32 // connections lost in a row that had commands under way before a final reply
	dataTrouble atomic.Int32 // data connections that failed in a row

	statFacts, statList statProof // what is known of STAT beside MLSD, and beside LIST
}
