package interop

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Available tells where the servers are unpacked and which of them are missing.
// The folder is $FTPCLIENT_INTEROP_DIR, else ftpclient-interop in the user's
// cache folder, as in install.sh. The error is of a folder that cannot be read.
func Available() (dir string, missing []string, err error) {
	dir = os.Getenv("FTPCLIENT_INTEROP_DIR")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", nil, fmt.Errorf("interop: %w", err)
		}
		dir = filepath.Join(cache, "ftpclient-interop")
	}
	for _, server := range []string{VSFTPD, ProFTPD, PureFTPD} {
		switch _, err := os.Stat(binary(dir, server)); {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, server)
		case err != nil:
			return dir, nil, fmt.Errorf("interop: %w", err)
		}
	}
	return dir, missing, nil
}

func binary(dir, server string) string { return filepath.Join(dir, "usr/sbin", server) }

// version is the package version of the server, as install.sh noted it.
func version(dir, server string) (string, error) {
	if server == ProFTPD {
		server = "proftpd-core"
	}
	versions, err := os.ReadFile(filepath.Join(dir, "versions"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(versions)) {
		if name, v, _ := strings.Cut(strings.TrimSpace(line), " "); name == server {
			return v, nil
		}
	}
	return "", fmt.Errorf("%s/versions does not name %s", dir, server)
}

// libraryPath lists the folders of the libraries that were unpacked beside the
// servers.
func libraryPath(dir string) (string, error) {
	var found []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*"} {
		dirs, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		found = append(found, dirs...)
	}
	return strings.Join(found, string(os.PathListSeparator)), nil
}
