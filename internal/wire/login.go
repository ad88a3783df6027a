package wire

import "slices"

// Admit notes that the login is over.
func (c *Control) Admit() { c.admitted = true }

// LoggedOut tells that a command was refused since by 530, and none was granted after it that needs a login: the server may not know
// of that any more.
func (c *Control) LoggedOut() bool { return c.loggedOut }

// ofUser tells commands that a server grants to nobody whom it does not know.
func ofUser(verb string) bool {
	return slices.Contains([]string{"PWD", "SIZE", "MDTM", "EPSV", "PASV"}, verb)
}
