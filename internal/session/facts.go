package session

// ListsFacts reports whether List reads MLSD, so that MLST tells of a name just what its directory's listing does.
func (s *Session) ListsFacts() bool { return s.usesMLSD() }

// ListsHidden reports whether List asks for names that begin with a dot, which some servers otherwise leave out.
func (s *Session) ListsHidden() bool { return s.cfg.ListHidden }
