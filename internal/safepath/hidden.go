package safepath

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// Suffixes of the names that Hidden makes.
const (
	Part  = "ftpclient-part"
	State = "ftpclient-state"
	Lock  = "ftpclient-lock"
	Old   = "ftpclient-old"
)

// maxHidden leaves room below the 255 bytes that most file systems allow a name, for servers that add to it.
const maxHidden = 200

// maxKey bounds the key, which is a short digest.
const maxKey = 64

// Hidden is the name ".<base>.<key>.<suffix>" of a file that belongs to an unfinished transfer of base. It has at most
// 200 bytes: a longer base is cut between two characters, and a digest of the whole base keeps it distinct.
func Hidden(base, key, suffix string) string {
	if len(key) > maxKey {
		key = digest(key)
	}
	room := maxHidden - len("...") - len(key) - len(suffix)
	if len(base) > room {
		mark := "~" + digest(base)
		end := max(room-len(mark), 0)
		for end > 0 && !utf8.RuneStart(base[end]) {
			end--
		}
		base = base[:end] + mark
	}
	return "." + base + "." + key + "." + suffix
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}

// IsOurs tells a name such as Hidden makes, whatever its letter case, as some file systems ignore it.
func IsOurs(name string) bool {
	if !strings.HasPrefix(name, ".") {
		return false
	}
	suffix := name[strings.LastIndexByte(name, '.')+1:]
	for _, own := range [...]string{Part, State, Lock, Old} {
		if strings.EqualFold(suffix, own) {
			return true
		}
	}
	return false
}
