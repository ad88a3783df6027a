package retry

import "syscall"

// Winsock's own numbers: those that package syscall gives Windows under POSIX names never come from the system.
var lostErrnos = []syscall.Errno{
	syscall.WSAECONNRESET,
	syscall.WSAECONNABORTED,
	10049, // WSAEADDRNOTAVAIL
	10050, // WSAENETDOWN
	10051, // WSAENETUNREACH
	10052, // WSAENETRESET
	10057, // WSAENOTCONN
	10060, // WSAETIMEDOUT
	10061, // WSAECONNREFUSED
	10065, // WSAEHOSTUNREACH
}
