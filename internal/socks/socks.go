// Package socks reaches hosts through a SOCKS5 proxy (RFC 1928, RFC 1929).
package socks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/proxy"

	"github.com/corexalgo/ftpclient/internal/retry"
)

// Dial opens a connection, as net.Dialer.DialContext does.
type Dial = func(ctx context.Context, network, addr string) (net.Conn, error)

// handshaker is what proxy.SOCKS5 returns.
type handshaker interface {
	DialWithConn(ctx context.Context, conn net.Conn, network, addr string) (net.Addr, error)
}

// Through returns a Dial that asks the proxy at rawURL, socks5://[user:password@]host:port, for its connections. It reaches
// the proxy by dial and returns the very connection that dial opened: what hides it would hide how to reset it, too.
func Through(rawURL string, dial Dial) (Dial, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("not a URL") // the parser's error shows its password
	}
	var auth *proxy.Auth
	if u.User != nil {
		password, _ := u.User.Password()
		auth = &proxy.Auth{User: u.User.Username(), Password: password}
	}
	d, err := proxy.SOCKS5("tcp", u.Host, auth, nil)
	if err != nil {
		return nil, err
	}
	proxied, ok := d.(handshaker)
	if !ok {
		return nil, fmt.Errorf("SOCKS5: %w", errors.ErrUnsupported)
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, "tcp", u.Host)
		if err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
		if _, err := proxied.DialWithConn(ctx, conn, network, addr); err != nil {
			_ = conn.Close()
			return nil, explain(err)
		}
		return conn, nil
	}, nil
}

// passing are the replies of RFC 1928, section 6, that another try may not get.
var passing = []string{"general SOCKS server failure", "network unreachable", "host unreachable", "connection refused", "TTL expired"}

// explain marks an error that may pass. All that is left of a proxy's reply in it is its text.
func explain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil && slices.ContainsFunc(passing, func(said string) bool { return strings.HasSuffix(op.Err.Error(), " "+said) }) {
		return retry.Transient(err)
	}
	return err
}
