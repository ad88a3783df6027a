package partfile

import (
	"os"
	"syscall"
)

// distant tells a file on a network file system, or on one that may lie on it.
func distant(f *os.File) bool {
	var st syscall.Statfs_t
	if syscall.Fstatfs(int(f.Fd()), &st) != nil { //nolint:gosec // a descriptor
		return true
	}
	switch uint32(st.Type) { //nolint:gosec // magic numbers of statfs(2), whose sign depends on the architecture
	case 0x6969, // NFS
		0x517b, 0xfe534d42, 0xff534d42, // SMB, CIFS
		0x5346414f, 0x6b414653, // AFS
		0x00c36400, 0x01021997, 0x65735546: // Ceph, 9P, FUSE
		return true
	}
	return false
}

// inMemory tells a file on a file system that has no disk.
func inMemory(f *os.File) bool {
	var st syscall.Statfs_t
	if syscall.Fstatfs(int(f.Fd()), &st) != nil { //nolint:gosec // a descriptor
		return false
	}
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	kind := uint32(st.Type) //nolint:gosec // see above
	return kind == tmpfs || kind == ramfs
}
