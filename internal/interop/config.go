package interop

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The one account, known only inside a server's mount namespace.
const (
	user     = "interop"
	password = "interop-pw"
	uid      = 61234
	// sha512-crypt with few rounds: logging in should measure FTP, not crypt(3).
	passwordHash = "$6$rounds=1000$interopsalt$J3wLX1A05ruNLiSdzXz0BxeUUMY.K7QP31Qkn2vGC8S9vkylcwLxUDCgBQrXhPMTnZDWc/nJDs1pksS0GknJj."
)

// layout is the temporary folder of one server.
type layout struct {
	pkg  string // the unpacked packages
	root string // the temporary folder
	port int
}

func (l layout) path(name string) string { return filepath.Join(l.root, name) }
func (l layout) home() string            { return l.path("files") }

// write fills the folder: account files, certificates and the configuration.
func (l layout) write(c Cell) error {
	certs, err := newCertificates()
	if err != nil {
		return err
	}
	files := map[string]string{
		"etc/passwd": fmt.Sprintf("root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n%s:x:%d:%d::%s:/bin/sh\n",
			user, uid, uid, l.home()),
		"etc/group":       fmt.Sprintf("root:x:0:\nnogroup:x:65534:\n%s:x:%d:\n", user, uid),
		"etc/shadow":      fmt.Sprintf("root:*:20000::::::\nnobody:*:20000::::::\n%s:%s:20000::::::\n", user, passwordHash),
		"etc/pam.d/ftp":   "auth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_permit.so\n",
		"openssl.cnf":     opensslConfig(c),
		"ca.pem":          string(certs.ca),
		"server.pem":      string(certs.server),
		"vsftpd.conf":     l.vsftpd(c),
		"proftpd.conf":    l.proftpd(c),
		"empty/.keep":     "",
		"log/session.log": "",
	}
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(l.path(name)), 0o755); err != nil {
			return err
		}
		// ProFTPD refuses a key that others can read.
		mode := os.FileMode(0o644)
		if name == "server.pem" || name == "etc/shadow" {
			mode = 0o600
		}
		if err := os.WriteFile(l.path(name), []byte(content), mode); err != nil {
			return err
		}
	}
	if err := os.Remove(l.path("empty/.keep")); err != nil {
		return err
	}
	if err := os.Mkdir(l.home(), 0o755); err != nil {
		return err
	}
	return os.Chown(l.home(), uid, uid)
}

// command is the server's command line, run in the foreground.
func (l layout) command(c Cell) []string {
	bin := binary(l.pkg, c.Server)
	switch c.Server {
	case VSFTPD:
		return []string{bin, l.path("vsftpd.conf")}
	case ProFTPD:
		return []string{bin, "-n", "-c", l.path("proftpd.conf")}
	}
	args := []string{
		bin, "-4", "-E", "-H", "-A", "-l", "unix", "-u", "100", "-f", "none",
		"-S", "127.0.0.1," + strconv.Itoa(l.port),
		"-g", l.path("pure-ftpd.pid"),
		"-O", "clf:" + l.path("log/session.log"),
		"-c", "200", "-C", strconv.Itoa(c.maxConns()),
	}
	if c.secure() {
		args = append(args, "-Y", "3", "-2", l.path("server.pem"))
	} else {
		args = append(args, "-Y", "0")
	}
	if c.Hidden {
		args = append(args, "-D")
	}
	if c.IdleTimeout > 0 {
		args = append(args, "-I", strconv.Itoa(int(c.IdleTimeout/time.Minute)))
	}
	if c.BytesPerSecond > 0 {
		args = append(args, "-T", strconv.Itoa(c.BytesPerSecond/1024))
	}
	return args
}

func (l layout) vsftpd(c Cell) string {
	conf := [][2]string{
		{"listen", "YES"},
		{"listen_address", "127.0.0.1"},
		{"listen_port", strconv.Itoa(l.port)},
		{"background", "NO"},
		{"anonymous_enable", "NO"},
		{"local_enable", "YES"},
		{"write_enable", "YES"},
		{"local_umask", "022"},
		{"chroot_local_user", "YES"},
		{"allow_writeable_chroot", "YES"},
		{"secure_chroot_dir", l.path("empty")},
		{"pam_service_name", "ftp"},
		// The sandbox kills sessions on kernels newer than this release; the
		// namespaces it would make for itself are made by Start.
		{"seccomp_sandbox", "NO"},
		{"isolate", "NO"},
		{"isolate_network", "NO"},
		{"max_clients", "200"},
		{"max_per_ip", strconv.Itoa(c.maxConns())},
		{"local_max_rate", strconv.Itoa(c.BytesPerSecond)},
		{"force_dot_files", yes(c.Hidden)},
		{"xferlog_enable", "YES"},
		{"log_ftp_protocol", "YES"},
		{"xferlog_std_format", "NO"},
		{"vsftpd_log_file", l.path("log/session.log")},
		{"ssl_enable", yes(c.secure())},
		{"implicit_ssl", yes(c.TLS == Implicit)},
	}
	if c.IdleTimeout > 0 {
		conf = append(conf, [2]string{"idle_session_timeout", strconv.Itoa(int(c.IdleTimeout / time.Second))})
	}
	if c.secure() {
		conf = append(conf,
			[2]string{"rsa_cert_file", l.path("server.pem")},
			[2]string{"force_local_logins_ssl", "YES"},
			[2]string{"force_local_data_ssl", "YES"},
			[2]string{"require_ssl_reuse", yes(c.RequireReuse)},
			[2]string{"debug_ssl", "YES"})
	}
	var b strings.Builder
	for _, line := range conf {
		fmt.Fprintf(&b, "%s=%s\n", line[0], line[1])
	}
	return b.String()
}

func (l layout) proftpd(c Cell) string {
	conf := []string{
		"ServerType standalone",
		"ServerName interop",
		"DefaultAddress 127.0.0.1",
		"SocketBindTight on",
		"Port " + strconv.Itoa(l.port),
		"UseIPv6 off",
		"UseReverseDNS off",
		"User nobody",
		"Group nogroup",
		"ModulePath " + filepath.Join(l.pkg, "usr/lib/proftpd"),
		"LoadModule mod_digest.c",
		"LoadModule mod_site_misc.c",
		"AuthPAM off",
		"AuthOrder mod_auth_unix.c",
		"DelayEngine off",
		"WtmpLog off",
		"TransferLog none",
		"SystemLog " + l.path("log/system.log"),
		"ExtendedLog " + l.path("log/session.log") + " ALL",
		"PidFile " + l.path("proftpd.pid"),
		"ScoreboardFile " + l.path("proftpd.scoreboard"), // MaxClientsPerHost counts there
		"DefaultRoot ~",
		"MaxInstances 200",
		"MaxClientsPerHost " + strconv.Itoa(c.maxConns()),
		"AllowOverwrite " + on(!c.NoOverwrite),
		"AllowStoreRestart " + on(c.StoreRestart),
	}
	if c.Hidden {
		conf = append(conf, `ListOptions "-a"`)
	}
	if c.IdleTimeout > 0 {
		seconds := strconv.Itoa(int(c.IdleTimeout / time.Second))
		conf = append(conf, "TimeoutIdle "+seconds)
	}
	if c.BytesPerSecond > 0 {
		kib := strconv.FormatFloat(float64(c.BytesPerSecond)/1024, 'f', -1, 64)
		conf = append(conf, "TransferRate RETR,STOR,APPE,STOU "+kib)
	}
	if c.secure() {
		conf = append(conf,
			"LoadModule mod_tls.c",
			"TLSEngine on",
			"TLSRequired on",
			"TLSLog "+l.path("log/tls.log"),
			"TLSRSACertificateFile "+l.path("server.pem"),
			"TLSRSACertificateKeyFile "+l.path("server.pem"),
		)
		protocol := "TLSProtocol TLSv1.2"
		if c.maxTLS() == tls.VersionTLS13 {
			protocol += " TLSv1.3"
		}
		var options []string
		if !c.RequireReuse {
			options = append(options, "NoSessionReuseRequired")
		}
		if c.TLS == Implicit {
			options = append(options, "UseImplicitSSL")
		}
		// ProFTPD resumes TLS 1.2 by session ID; crypto/tls does only by ticket.
		conf = append(conf, protocol, "TLSSessionTickets "+on(!c.SessionIDs))
		if len(options) > 0 {
			conf = append(conf, "TLSOptions "+strings.Join(options, " "))
		}
	}
	return strings.Join(conf, "\n") + "\n"
}

// opensslConfig bounds the TLS version from outside: vsftpd and Pure-FTPd have
// no setting for it.
func opensslConfig(c Cell) string {
	highest := "TLSv1.2"
	if c.maxTLS() == tls.VersionTLS13 {
		highest = "TLSv1.3"
	}
	return `openssl_conf = main
[main]
ssl_conf = ssl
[ssl]
system_default = limits
[limits]
MinProtocol = TLSv1.2
MaxProtocol = ` + highest + "\n"
}

func yes(b bool) string {
	if b {
		return "YES"
	}
	return "NO"
}

func on(b bool) string {
	if b {
		return "on"
	}
	return "off"
}
