// Minimal is the program that the README begins with.
package main

import (
	"context"
	"log"
	"os"

	"github.com/corexalgo/ftpclient"
)

func main() {
	if err := fetch(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func fetch(ctx context.Context) error {
	client, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{
		"backup": {Host: "ftp.example.com", Username: "joe", PasswordEnv: "BACKUP_PASSWORD", TLS: ftpclient.TLSExplicit},
	}})
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // always nil

	result, err := client.Download(ctx, "backup", "dumps/monday.tar.gz", "monday.tar.gz",
		&ftpclient.TransferOptions{Resume: true, Progress: ftpclient.NewProgressBar(os.Stderr)})
	if err != nil {
		return err
	}
	log.Printf("%d bytes, checked: %s", result.Bytes, result.Verification)
	return nil
}
