// Package interop starts real FTP servers for tests: vsftpd, ProFTPD and
// Pure-FTPd as Debian builds them, with the strict settings that administrators
// choose. Only tests import it.
//
// install.sh unpacks the servers into a cache folder and installs nothing. Each
// server then runs on a loopback port of its own, from a temporary folder, in a
// PID and a mount namespace: the namespaces give it the account that it logs in
// without touching the machine's /etc, and take every session with them when
// the server is stopped. Making them needs Linux and root.
package interop
