package session

// ListsFacts reports whether List reads MLSD, so that MLST tells of a name just what its directory's listing does.
func (s *Session) ListsFacts() bool { return s.usesMLSD() }
