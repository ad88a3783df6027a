package ftpclient_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// startExample starts a server that holds "pub/data.bin" of 1 MiB, and a Client that knows it as "demo". Local is an empty
// folder. Stop ends and removes all of it.
func startExample(o ftptest.Options) (server *ftptest.Server, client *ftpclient.Client, local string, stop func()) {
	server, err := ftptest.New(o)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(server.Dir(), "pub"), 0o755); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(server.Dir(), "pub", "data.bin"), make([]byte, 1<<20), 0o600); err != nil {
		log.Fatal(err)
	}
	if local, err = os.MkdirTemp("", "ftpclient-example-"); err != nil {
		log.Fatal(err)
	}
	client, err = ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{
		"demo": {
			Host: server.Host(), Port: server.Port(),
			Username: server.User(), Password: ftpclient.Secret(server.Password()),
		},
	}})
	if err != nil {
		log.Fatal(err)
	}
	return server, client, local, func() {
		if err := errors.Join(client.Close(), server.Close(), os.RemoveAll(local)); err != nil {
			log.Fatal(err)
		}
	}
}

func ExampleNew() {
	client, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{
		"mirror": {Host: "ftp.example.com"}, // anonymous
		"backup": {
			Host: "backup.example.com", TLS: ftpclient.TLSExplicit,
			Username: "joe", Password: "open sesame", MaxConns: 3,
		},
	}})
	if err != nil {
		log.Fatal(err) // every fault of the configuration at once
	}
	defer client.Close() //nolint:errcheck // always nil

	fmt.Println(client.Servers()) // nothing is connected yet
	// Output: [backup mirror]
}

func ExampleNew_faults() {
	_, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{
		"backup": {Port: 99999, TLS: "starttls"},
	}})
	fmt.Println(err)
	// Output:
	// servers.backup.host: required
	// servers.backup.port: 99999 is not between 1 and 65535
	// servers.backup.tls: "starttls" is not one of "explicit", "implicit" and empty
}

func ExampleClient_Download() {
	_, client, local, stop := startExample(ftptest.Options{})
	defer stop()

	result, err := client.Download(context.Background(), "demo", "pub/data.bin", filepath.Join(local, "data.bin"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Bytes, "bytes, checked:", result.Verification)
	// Output: 1048576 bytes, checked: size only
}

func ExampleClient_Download_resume() {
	server, client, local, stop := startExample(ftptest.Options{})
	defer stop()
	target := filepath.Join(local, "data.bin")
	ctx := context.Background()

	// The line breaks after 700,000 bytes, and this call may not try again.
	server.SetFaults(ftptest.Fault{Cmd: "RETR", Do: ftptest.CutData, After: 700_000, Times: 1})
	_, err := client.Download(ctx, "demo", "pub/data.bin", target, &ftpclient.TransferOptions{
		Retry: &ftpclient.RetryPolicy{MaxRetries: -1},
	})
	fmt.Println("worth trying again:", ftpclient.Retryable(err))
	_, err = os.Stat(target)
	fmt.Println("there is no half a file:", errors.Is(err, fs.ErrNotExist))

	// A later call, perhaps of another process, goes on from there.
	result, err := client.Download(ctx, "demo", "pub/data.bin", target, &ftpclient.TransferOptions{Resume: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("kept", result.ResumedFrom, "of", result.Bytes)
	// Output:
	// worth trying again: true
	// there is no half a file: true
	// kept 700000 of 1048576
}

func ExampleClient_Download_progress() {
	_, client, local, stop := startExample(ftptest.Options{})
	defer stop()

	// For a bar on the terminal: Progress: ftpclient.NewProgressBar(os.Stderr)
	_, err := client.Download(context.Background(), "demo", "pub/data.bin", filepath.Join(local, "data.bin"), &ftpclient.TransferOptions{
		Progress: func(p ftpclient.Progress) {
			if p.Done {
				fmt.Println(p.Job.Direction, p.Job.Remote, p.Bytes, "of", p.Size)
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Output: download pub/data.bin 1048576 of 1048576
}

func ExampleNewProgressBar() {
	_, client, local, stop := startExample(ftptest.Options{})
	defer stop()

	var notTerminal bytes.Buffer
	bar := ftpclient.NewProgressBar(&notTerminal) // os.Stderr, for people
	_, err := client.Download(context.Background(), "demo", "pub/data.bin", filepath.Join(local, "data.bin"), &ftpclient.TransferOptions{
		Progress: bar,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	first, _, _ := strings.Cut(notTerminal.String(), "\n")
	fmt.Println(first)
	// Output: download data.bin: started, 1.0 MB
}

func ExampleClient_Upload() {
	_, client, local, stop := startExample(ftptest.Options{})
	defer stop()
	report := filepath.Join(local, "report.txt")
	if err := os.WriteFile(report, []byte("all is well\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()

	// Folders that are missing on the server are made.
	result, err := client.Upload(ctx, "demo", report, "reports/2026/monday.txt", &ftpclient.TransferOptions{PreserveTime: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	entries, err := client.List(ctx, "demo", "reports/2026")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range entries {
		fmt.Println(e.Path, e.Size, "of", result.Bytes)
	}
	// Output: reports/2026/monday.txt 12 of 12
}

func ExampleClient_UploadFrom() {
	_, client, _, stop := startExample(ftptest.Options{})
	defer stop()
	ctx := context.Background()

	if _, err := client.UploadFrom(ctx, "demo", strings.NewReader("你好\n"), "texts/问候.txt", nil); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.DownloadTo(ctx, "demo", "texts/问候.txt", os.Stdout, nil); err != nil {
		fmt.Println(err)
		return
	}
	// Output: 你好
}

func ExampleClient_Walk() {
	server, client, _, stop := startExample(ftptest.Options{})
	defer stop()
	if err := os.WriteFile(filepath.Join(server.Dir(), "readme.txt"), []byte("read me\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	for entry, err := range client.Walk(context.Background(), "demo", "", nil) {
		if err != nil {
			fmt.Println(entry.Path, "cannot be read:", err)
			continue // the walk goes on
		}
		fmt.Println(entry.Path)
	}
	// Output:
	// pub
	// pub/data.bin
	// readme.txt
}

func ExampleClient_FS() {
	_, client, _, stop := startExample(ftptest.Options{})
	defer stop()
	ctx := context.Background()
	if _, err := client.UploadFrom(ctx, "demo", strings.NewReader("read me\n"), "pub/readme.txt", nil); err != nil {
		fmt.Println(err)
		return
	}

	// The server's folder, over HTTP.
	web := http.FileServerFS(client.FS(ctx, "demo", "pub"))

	response := httptest.NewRecorder()
	web.ServeHTTP(response, httptest.NewRequestWithContext(ctx, http.MethodGet, "/readme.txt", http.NoBody))
	fmt.Print(response.Code, " ", response.Body)
	// Output: 200 read me
}

func ExampleClient_Open() {
	_, client, _, stop := startExample(ftptest.Options{})
	defer stop()

	file, err := client.Open(context.Background(), "demo", "pub/data.bin")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(-16, io.SeekEnd); err != nil {
		fmt.Println(err)
		return
	}
	tail, err := io.ReadAll(file) // a lost connection is replaced meanwhile
	fmt.Println(len(tail), err)
	// Output: 16 <nil>
}

func ExampleError() {
	_, client, local, stop := startExample(ftptest.Options{})
	defer stop()

	_, err := client.Download(context.Background(), "demo", "pub/missing.bin", filepath.Join(local, "missing.bin"), nil)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Println("the server has no such file")
	}
	var ftpError *ftpclient.Error
	if errors.As(err, &ftpError) {
		fmt.Println(ftpError.Op, ftpError.Server, ftpError.Path, ftpError.Code)
	}
	fmt.Println("worth trying again:", ftpclient.Retryable(err))
	// Output:
	// the server has no such file
	// download demo pub/missing.bin 550
	// worth trying again: false
}
