package ftpclient_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func ExampleClient_Verify() {
	_, client, local, stop := startExample(ftptest.Options{Hash: true})
	defer stop()
	ctx := context.Background()
	report := filepath.Join(local, "report.txt")
	if err := os.WriteFile(report, []byte("all is well\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	// The strongest proof that costs no second transfer: here the server can tell a digest.
	result, err := client.Upload(ctx, "demo", report, "report.txt", &ftpclient.TransferOptions{Verify: ftpclient.VerifyBest})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("sent:", result.Verification)

	if err := os.WriteFile(report, []byte("all is lost\n"), 0o600); err != nil { // of the same size
		fmt.Println(err)
		return
	}
	for _, mode := range []ftpclient.VerifyMode{ftpclient.VerifySize, ftpclient.VerifyHash, ftpclient.VerifyReadBack} {
		proof, err := client.Verify(ctx, "demo", "report.txt", report, mode)
		fmt.Println(proof, "- differs:", errors.Is(err, ftpclient.ErrMismatch))
	}
	// Output:
	// sent: SHA-256 by server
	// size only - differs: false
	// SHA-256 by server - differs: true
	// SHA-256 read back - differs: true
}

func ExampleLoadChecksums() {
	const file = `# what sha256sum, md5 and the makers of .sfv files write
ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  abc.txt
MD5 (pub/abc.txt) = 900150983cd24fb0d6963f7d28e17f72
abc.bin 352441C2
`
	sums, err := ftpclient.LoadChecksums(strings.NewReader(file))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"abc.txt", "pub/abc.txt", "abc.bin", "other"} {
		fmt.Println(name, sums.Expect(name))
	}
	// Output:
	// abc.txt {SHA-256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}
	// pub/abc.txt {MD5 900150983cd24fb0d6963f7d28e17f72}
	// abc.bin {CRC32 352441c2}
	// other { }
}

func ExampleClient_LoadChecksums() {
	server, client, local, stop := startExample(ftptest.Options{})
	defer stop()
	ctx := context.Background()
	content := []byte("an image\n")
	sum := fmt.Sprintf("%x  images/disk.img\n", sha256.Sum256(content))
	for _, err := range []error{
		os.MkdirAll(filepath.Join(server.Dir(), "pub", "images"), 0o755),
		os.WriteFile(filepath.Join(server.Dir(), "pub", "images", "disk.img"), content, 0o600),
		os.WriteFile(filepath.Join(server.Dir(), "pub", "SHA256SUMS"), []byte(sum), 0o600),
	} {
		if err != nil {
			fmt.Println(err)
			return
		}
	}

	sums, err := client.LoadChecksums(ctx, "demo", "pub/SHA256SUMS")
	if err != nil {
		fmt.Println(err)
		return
	}
	const remote = "pub/images/disk.img"
	result, err := client.Download(ctx, "demo", remote, filepath.Join(local, "disk.img"), &ftpclient.TransferOptions{
		Expected: sums.Expect(remote),
	})
	if err != nil {
		fmt.Println(err) // ErrMismatch, and no disk.img, if it is another one
		return
	}
	fmt.Println(result.Verification)
	// Output: SHA-256 expected
}
