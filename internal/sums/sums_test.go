package sums_test

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/digest"
	"github.com/corexalgo/ftpclient/internal/sums"
)

// Of the content "abc".
var (
	md5sum = "900150983cd24fb0d6963f7d28e17f72"
	sha1   = "a9993e364706816aba3e25717850c26c9cd0d89d"
	sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
	crc32  = "352441c2"
)

func TestEveryFormatOfAChecksumFileIsRead(t *testing.T) {
	for line, want := range map[string]struct{ name, algorithm, digest string }{
		sha256 + "  a b":                              {"a b", "SHA-256", sha256},
		sha256 + " *a b":                              {"a b", "SHA-256", sha256},
		strings.ToUpper(sha256) + "  a":               {"a", "SHA-256", sha256},
		sha256 + "  ./d/a":                            {"d/a", "SHA-256", sha256},
		sha256 + "  .hidden":                          {".hidden", "SHA-256", sha256},
		sha256 + "   leading":                         {" leading", "SHA-256", sha256},
		sha256 + "  *star":                            {"*star", "SHA-256", sha256},
		sha256 + " reversed":                          {"reversed", "SHA-256", sha256},
		`\` + sha256 + `  a\nb\\c\rd`:                 {"a\nb\\c\rd", "SHA-256", sha256},
		sha256 + `  back\slash`:                       {`back\slash`, "SHA-256", sha256},
		"\ufeff" + md5sum + "  a\r":                   {"a", "MD5", md5sum},
		md5sum + "  352441c2":                         {"352441c2", "MD5", md5sum},
		sha1 + "  中 文":                                {"中 文", "SHA-1", sha1},
		sha512 + "  a":                                {"a", "SHA-512", sha512},
		"SHA256 (a (1).iso) = " + sha256:              {"a (1).iso", "SHA-256", sha256},
		"SHA256 (a) = b) = " + sha256:                 {"a) = b", "SHA-256", sha256},
		"SHA2-256(a)= " + sha256:                      {"a", "SHA-256", sha256},
		"MD5(a)= " + md5sum:                           {"a", "MD5", md5sum},
		"SHA1 (a) = " + sha1:                          {"a", "SHA-1", sha1},
		"SHA512 (a) = " + strings.ToUpper(sha512):     {"a", "SHA-512", sha512},
		`\SHA256 (a\nb) = ` + sha256:                  {"a\nb", "SHA-256", sha256},
		"CRC32 (a) = " + crc32:                        {"a", "CRC32", crc32},
		"a b.bin 352441C2":                            {"a b.bin", "CRC32", crc32},
		"a\t352441c2 ":                                {"a", "CRC32", crc32},
		sha256 + "  ../outside":                       {"../outside", "SHA-256", sha256},
		sha256 + "  /etc/passwd":                      {"/etc/passwd", "SHA-256", sha256},
		"# comment\n; comment\n\n" + md5sum + "  a\n": {"a", "MD5", md5sum},
	} {
		got, err := sums.Read(strings.NewReader(line))
		require.NoError(t, err, line)
		assert.Equal(t, map[string]sums.Sum{want.name: {Algorithm: want.algorithm, Digest: want.digest}}, got, line)
	}
}

func TestALineThatCannotBeReadIsAnErrorWithItsNumber(t *testing.T) {
	for _, line := range []string{
		"hello", sha256, sha256 + " ", sha256[:63] + "  a", sha256 + "0  a", "g" + sha256[1:] + "  a",
		"SHA256 (a) = " + sha1, "SHA256 (a) " + sha256, "SHA256 a = " + sha256, "WHIRL (a) = " + sha256,
		"SHA256 () = " + sha256, `\` + sha256 + `  a\x`, `\` + sha256 + `  a\`, sha256 + "  a\x00b", sha256 + "  ./",
		"352441c2", crc32 + "  name", "-----BEGIN PGP SIGNED MESSAGE-----", `\a 352441c2`,
		strings.Repeat("x", 100<<10),
	} {
		got, err := sums.Read(strings.NewReader(md5sum + "  good\n\n" + line + "\n" + md5sum + "  other\n"))
		require.Error(t, err, line)
		assert.Contains(t, err.Error(), "line 3: ", line)
		assert.Less(t, len(err.Error()), 300)
		assert.Nil(t, got)
	}
	_, err := sums.Read(strings.NewReader(strings.Repeat("<html>\n", 1000)))
	require.Error(t, err)
	assert.Equal(t, 10, strings.Count(err.Error(), "line "), "a file of another kind is not told of whole")
	_, err = sums.Read(iotest.ErrReader(errors.New("disk gone")))
	require.ErrorContains(t, err, "disk gone")
}

func TestOfSeveralDigestsTheStrongestCountsAndTwoThatDifferAreAnError(t *testing.T) {
	got, err := sums.Read(strings.NewReader("MD5 (a) = " + md5sum + "\nSHA256 (a) = " + sha256 + "\nSHA1 (a) = " + sha1 + "\nMD5 (a) = " + md5sum + "\n"))
	require.NoError(t, err)
	assert.Equal(t, map[string]sums.Sum{"a": {Algorithm: "SHA-256", Digest: sha256}}, got)
	_, err = sums.Read(strings.NewReader(sha256 + "  a\n" + strings.Repeat("0", 64) + "  ./a\n"))
	require.ErrorContains(t, err, "line 2: a second SHA-256 of")
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		sha256 + "  a", `\` + md5sum + ` *a\nb`, "SHA256 (a) = " + sha256, "a 352441c2", "MD5(a)= " + md5sum, "# x\n\n;", "\ufeff",
		") (= ", sha1 + "  ./", "CRC32 (", `\`, " 352441c2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := sums.Read(strings.NewReader(text))
		if err != nil {
			require.Nil(t, got)
			return
		}
		for name, sum := range got {
			require.NotEmpty(t, name)
			a, ok := digest.ByName(sum.Algorithm)
			require.True(t, ok)
			require.Equal(t, a.Name, sum.Algorithm)
			require.Len(t, sum.Digest, a.HexLen())
			require.Equal(t, strings.ToLower(sum.Digest), sum.Digest)
		}
	})
}
