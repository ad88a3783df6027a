package partfile

import (
	"os"
	"syscall"
)

// distant tells a file on a network file system, or on one that may lie on it.
func distant(f *os.File) bool {
	switch kind, known := fileSystem(f); kind {
	case 0x6969, // NFS
		0x517b, 0xfe534d42, 0xff534d42, // SMB, CIFS
		0x5346414f, 0x6b414653, // AFS
		0x00c36400, 0x01021997, 0x65735546: // Ceph, 9P, FUSE
		return true
	default:
		return !known
	}
}

// inMemory tells a file on a file system that has no disk.
func inMemory(f *os.File) bool {
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	kind, _ := fileSystem(f)
	return kind == tmpfs || kind == ramfs
}

// fileSystem is the magic number of the file system that a file is on.
func fileSystem(f *os.File) (kind uint32, known bool) {
	var st syscall.Statfs_t
	err := syscall.Fstatfs(int(f.Fd()), &st) //nolint:gosec // a descriptor
	return uint32(st.Type), err == nil       //nolint:gosec // its sign depends on the architecture
}
