package main

import (
	"context"
	"flag"

	"github.com/corexalgo/ftpclient"
)

func prepareCopy(flags *flag.FlagSet) action {
	var moving transferFlags
	moving.register(flags)
	return func(ctx context.Context, t *tool, args []string) error {
		from, to, err := t.connectBoth(args[0], args[1])
		if err != nil {
			return err
		}
		defer from.Close() //nolint:errcheck // always nil; it is the Client of both
		if from.isFolder() {
			return &usageError{"the first URL names no file"}
		}
		if to.isFolder() {
			to.path += from.base()
		}
		result, err := from.Copy(ctx, from.server, from.path, to.server, to.path, moving.options(t))
		return t.conclude(ctx, to.shown(), result, err)
	}
}

// connectBoth is connect for two URLs, with one Client.
func (t *tool) connectBoth(fromURL, toURL string) (from, to *place, err error) {
	fromName, source, fromPath, err := t.parse(fromURL, "FTP_PASSWORD")
	if err != nil {
		return nil, nil, err
	}
	toName, target, toPath, err := t.parse(toURL, "FTP_PASSWORD_TO") // a password is for one server
	if err != nil {
		return nil, nil, err
	}
	if fromName == toName { // maybe for another user
		toName += " (target)"
	}
	switch { // a certificate is for the one that has TLS
	case source.TLS == ftpclient.TLSNone && target.TLS != ftpclient.TLSNone:
		source.CAFile = ""
	case source.TLS != ftpclient.TLSNone && target.TLS == ftpclient.TLSNone:
		target.CAFile = ""
	}
	client, err := t.newClient(map[string]ftpclient.ServerConfig{fromName: source, toName: target})
	if err != nil {
		return nil, nil, err
	}
	t.announce(client, fromName)
	return &place{client, fromName, fromPath}, &place{client, toName, toPath}, nil
}
