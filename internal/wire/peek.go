package wire

// What a look at a socket's receive buffer finds.
const (
	peekUnknown = iota // this connection cannot be asked without reading
	peekSilent         // open, nothing received
	peekBytes          // bytes are waiting
	peekEnded          // closed by the peer, or broken
)
